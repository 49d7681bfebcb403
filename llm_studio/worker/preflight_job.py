"""The data job "preflight": prepares an experiment as its own process would, measures it, keeps the figures.

Imports torch only when it runs, once the threads are told how to wait.
"""

import logging
import time
from typing import Any

from llm_studio.actions.preflight import HOLDER, refuse_if_busy
from llm_studio.config import from_yaml
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Home, JobRecord, Store
from llm_studio.store.processes import own_identity
from llm_studio.worker.data_jobs import Report
from llm_studio.worker.readying import ready

LOOK_SECONDS = 0.25
SHARES = {
    "Reading": 0.15,
    "Turning": 0.2,
    "Loading": 0.3,
    "Taking": 0.55,
    "Timing": 0.6,
    "Writing": 0.8,
    "Scoring": 0.85,
}
"""How far the job is when it says so, by the first word of what it says."""


class JobTeller:
    """Tells the job's row what happens, and looks at most four times a second whether it is to end."""

    def __init__(self, store: Store, job: JobRecord) -> None:
        self._store, self._id = store, job.id
        self._looked_at = self._told_at = 0.0
        self._words = ""
        self._asked = False

    def should_stop(self) -> bool:
        """Whether the user pressed Cancel."""
        now = time.monotonic()
        if not self._asked and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._asked = self._store.jobs.get(self._id).cancel_requested
        return self._asked

    def phase(self, words: str) -> None:
        """Say it at once.

        Raises:
            Cancelled: the user wants the end.
        """
        self._told_at = time.monotonic()
        self._words = words
        if self._store.jobs.update(self._id, progress=SHARES.get(words.split()[0], 0.1), message=words):
            raise Cancelled

    def detail(self, words: str) -> None:
        """The same, at most four times a second."""
        if time.monotonic() - self._told_at >= LOOK_SECONDS or words.split()[:1] != self._words.split()[:1]:
            self.phase(words)

    def note(self, words: str) -> None:
        """For the job's log."""
        logging.getLogger("llm_studio.preflight").info(words)


def run(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Params: config, as YAML; dataset_id; device; key, under which the figures are kept. Returns the key.

    Raises:
        UserError: the device is in use, or the experiment could not be started like this.
    """
    device, key = str(job.params["device"]), str(job.params["key"])
    identity = own_identity()
    while not store.leases.acquire(device, HOLDER, job.id, *identity):
        refuse_if_busy(store, device)  # when it has come free in between, it is taken in the next round
    try:
        ready()
        teller = JobTeller(store, job)
        teller.phase("Loading the libraries")
        from llm_studio.modeling.loading import is_out_of_memory
        from llm_studio.worker.preflight import measure
        from llm_studio.worker.preflight_subject import prepare_subject

        config = from_yaml(str(job.params["config"])).config
        try:
            subject, start_seconds = prepare_subject(store, str(job.params["dataset_id"]), config, device, teller)
            figures = measure(
                subject,
                home.staging / job.id,
                start_seconds=start_seconds,
                tell=teller.detail,
                should_stop=teller.should_stop,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise memory_error(device) from error
    finally:
        store.leases.release(device, HOLDER, job.id)
    store.preflights.put(key, figures.as_dict())
    return {"key": key}


def memory_error(device: str) -> UserError:
    """Memory ran out where no smaller micro-batch helps."""
    return UserError(
        f"It does not fit: {device} ran out of memory.",
        where="Number type",
        fix="Choose int8 or int4, a smaller backbone, or lower the longest conversation.",
    )
