"""The process of one experiment: data, tokens, backbone, scores before, training, scores after, checkpoints.

Run as `python -m llm_studio.worker.job EXPERIMENT_ID --home HOME`; everything it prints is the experiment's log. On
several devices it runs once for each of them, see `worker/launch.py`.
"""

import argparse
import logging
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

from llm_studio.errors import Cancelled, UserError
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.training.memory import SharedOutOfMemoryError
from llm_studio.worker import ranks
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.memory_advice import advice_for
from llm_studio.worker.readying import ready

FINISHED, FAILED = 0, 1


def main() -> int:
    """Runs one experiment; 0 when it finished or was stopped, 1 when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    terminated = threading.Event()

    def terminate(number: int, frame: FrameType | None) -> None:
        terminated.set()

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if ranks.are_several():
        ranks.begin(Home(arguments.home).experiment(arguments.experiment))
    store = Store.open(Home(arguments.home))
    return run(store, arguments.experiment, terminated)


def run(store: Store, experiment_id: str, terminated: threading.Event) -> int:
    """Take the device, run, and say how it ended."""
    record = store.experiments.get(experiment_id)
    if ranks.own_rank() > 0:
        return work(store, record, ranks.Follower(store, experiment_id, terminated))
    identity = ranks.identity_of_experiment()
    reporter = Reporter(store, experiment_id, terminated)
    if not store.leases.acquire(record.device, "experiment", record.id, *identity):
        holder = store.leases.holder(record.device)
        who = "another process" if holder is None else f"{holder.holder_kind} {holder.holder_id}"
        error = UserError(f"{record.device} is taken by {who}.", where="device", fix="Wait until it has ended.")
        store.experiments.finish(record.id, "failed", error.as_dict())
        return FAILED
    store.experiments.set_running(record.id, *identity)
    try:
        return work(store, record, reporter)
    finally:
        if not ranks.are_several():  # else the launcher does, once all have ended
            store.leases.release(record.device, "experiment", record.id)


def work(store: Store, record: ExperimentRecord, reporter: Reporter) -> int:
    """Run, and say how it ended: well by the first of several processes, badly by whoever knows why."""
    reporter.phase("Loading the libraries")
    ready()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # speaks of optional packages while it is imported
    try:
        from llm_studio.worker.job_steps import run_experiment

        stopped = not run_experiment(store, record, reporter)
        reporter.charts.flush()
        if ranks.may_say("stopped" if stopped else "finished"):
            store.experiments.finish(record.id, "stopped" if stopped else "finished")
        print("Stopped; it can be continued." if stopped else "Finished.", flush=True)
        return FINISHED
    except Cancelled:
        if ranks.may_say("stopped"):
            store.experiments.finish(record.id, "stopped")
        print("Stopped before the training began.", flush=True)
        return FINISHED
    except SharedOutOfMemoryError as error:
        print(error.what, flush=True)
        if ranks.may_try_smaller(store.home.experiment(record.id), error.rows):
            return ranks.OUT_OF_MEMORY
        store.experiments.finish(record.id, "failed", error.as_dict())
        return FAILED
    except UserError as error:
        error = advised(error, store.home.experiment(record.id))
        print(error, flush=True)
        store.experiments.finish(record.id, "failed", error.as_dict())
        return FAILED
    except Exception as error:  # noqa: BLE001 - whatever it is, the user is told and the log has all of it
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        if not ranks.another_is_gone():  # else that one, or the launcher, knows better
            store.experiments.finish(record.id, "failed", explain(error, store.home.experiment(record.id)).as_dict())
        return FAILED
    finally:
        reporter.close()


def advised(error: UserError, folder: Path) -> UserError:
    """A row that is too large for the memory, with advice by the settings of the experiment; others as they are."""
    from llm_studio.training.memory import OutOfMemoryError

    if not isinstance(error, OutOfMemoryError):
        return error
    return UserError(error.what, where=error.where, fix=advice_for(folder, halved=True))


def explain(error: BaseException, folder: Path) -> UserError:
    """A failure that is nobody's typed error, in plain words. folder: of the experiment."""
    text = str(error)
    name = type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return UserError("The experiment ran out of memory.", where="training.batch_size", fix=advice_for(folder))
    if isinstance(error, OSError) and error.errno == 28:
        return UserError("The disk is full.", where=str(error.filename or ""), fix="Delete old experiments.")
    return UserError(
        f"The experiment failed: {text.splitlines()[0][:300] if text else name}.",
        where=f"log.txt ({name})",
        fix="Read the end of the log; start it again with other settings if it names one.",
    )


if __name__ == "__main__":
    sys.exit(main())
