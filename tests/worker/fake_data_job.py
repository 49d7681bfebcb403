"""The real process of a data job with kinds made for tests."""

import sys
import time
from typing import Any

from llm_studio.errors import UserError
from llm_studio.store import Home, JobRecord, Store
from llm_studio.worker import data_job, data_jobs
from llm_studio.worker.data_jobs import Report


def count(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Counts to params["to"], and leaves a file behind until it is done."""
    folder = home.staging / job.id
    folder.mkdir(exist_ok=True)
    for number in range(int(job.params["to"])):
        report(number / int(job.params["to"]), f"Counting {number}")
        time.sleep(0.05)
    return {"counted": job.params["to"]}


def deaf(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Never reports and swallows SIGTERM."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (home.staging / job.id).mkdir(exist_ok=True)
    time.sleep(600)
    return {}


def refuse(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Finds something that the user can mend."""
    raise UserError("Row 3 has no answer.", where="file.csv, row 3", fix="Fill it.")


def fault(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Has a bug."""
    raise KeyError("bug")


if __name__ == "__main__":
    sys.modules["fake_data_job"] = sys.modules["__main__"]
    for kind in ("count", "deaf", "refuse", "fault"):
        data_jobs.KINDS[kind] = f"fake_data_job:{kind}"
    sys.exit(data_job.main())
