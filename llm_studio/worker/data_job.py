"""The process of one data job: looks its function up, runs it, writes how it ended."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Home, JobRecord, Store
from llm_studio.store.processes import own_identity
from llm_studio.worker.data_jobs import Report, function_of

REPORT_SECONDS = 0.2
TERMINATED = 128 + signal.SIGTERM


def run(home: Home, job_id: str) -> int:
    """Do the job. Exit codes: 0 done or cancelled, 1 failed, 143 ended from outside (the supervisor decides then)."""
    store = Store.open(home)
    job = store.jobs.set_running(job_id, *own_identity())
    if job.status != "running":
        return 0
    try:
        result = function_of(job.kind)(home, store, job, reporter(store, job))
    except Cancelled:
        if not store.jobs.get(job_id).cancel_requested:
            return TERMINATED
        store.jobs.finish(job_id, "cancelled")
    except UserError as error:
        store.jobs.finish(job_id, "failed", error=error.as_dict())
        return 1
    except MemoryError:
        problem = UserError("The data job ran out of memory.", fix="Close other programs, or use a smaller file.")
        store.jobs.finish(job_id, "failed", error=problem.as_dict())
        return 1
    except Exception as fault:  # noqa: BLE001 - the row must say how it ended, whatever it was
        traceback.print_exc()
        words = f"The data job met a fault of the studio: {type(fault).__name__}: {fault}"
        problem = UserError(words[:500], where=f"run/job-{job_id}.log", fix="Try again; report it if it comes back.")
        store.jobs.finish(job_id, "failed", error=problem.as_dict())
        return 1
    else:
        store.jobs.finish(job_id, "done", result=result)
    finally:
        store.close()
    return 0


def reporter(store: Store, job: JobRecord) -> Report:
    """Writes progress at most five times a second and raises Cancelled when the user asked for the end."""
    told_at = -REPORT_SECONDS

    def report(share: float | None, message: str) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at < REPORT_SECONDS:
            return
        told_at = now
        if store.jobs.update(job.id, progress=share, message=message):
            raise Cancelled

    return report


def terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the job where it stands; the code in between tidies up as it would after a cancel."""
    raise Cancelled


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m llm_studio.worker.data_job JOB_ID --home HOME`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--home", type=Path, required=True)
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, terminate)
    try:
        return run(Home(parsed.home), parsed.job)
    except Cancelled:
        return TERMINATED


if __name__ == "__main__":
    sys.exit(main())
