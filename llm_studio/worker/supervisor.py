"""The process that owns the queue and the devices: it starts, minds and ends experiments, data jobs and model servers.

It keeps nothing in memory that it could not find again in the store, so that it may die and be started again.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.store.leases import SUPERVISOR
from llm_studio.store.processes import own_identity
from llm_studio.worker.data_pool import DataPool
from llm_studio.worker.experiment_queue import ExperimentQueue
from llm_studio.worker.server_pool import IDLE_SECONDS, ServerPool
from llm_studio.worker.start import DATA_JOB, EXPERIMENT, SERVER

POLL_SECONDS = 0.2
STOP_SECONDS = 15.0  # for experiments, to write a checkpoint
STOP_SECONDS_OTHERS = 2.0
REPORT_SECONDS = 30.0  # a fault that comes back at every look is logged this often

log = logging.getLogger("llm_studio.supervisor")


class Supervisor:
    """Looks at the store five times a second and does what it finds there. The commands can be changed for tests."""

    def __init__(
        self,
        store: Store,
        *,
        experiment: Sequence[str] = EXPERIMENT,
        data_job: Sequence[str] = DATA_JOB,
        server: Sequence[str] = SERVER,
        idle_seconds: float = IDLE_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._store = store
        self._experiments = ExperimentQueue(store, command=experiment)
        self._data = DataPool(store, command=data_job)
        self._servers = ServerPool(store, command=server, idle_seconds=idle_seconds)
        self._stop_seconds = stop_seconds
        self._reported: dict[str, float] = {}
        self.stopping = False

    def run(self) -> None:
        """Work until `stopping` is set, then end everything that is the studio's.

        Raises:
            UserError: another supervisor takes care of this home.
        """
        identity = own_identity()
        if not self._store.leases.acquire(SUPERVISOR, SUPERVISOR, str(identity[0]), *identity):
            raise UserError(
                "The studio is running on this home already.",
                where=str(self._store.home.path),
                fix="Use the one that runs, or choose another folder in LLM_STUDIO_HOME.",
            )
        try:
            self._guarded("data jobs", self._data.adopt)
            self._guarded("model servers", self._servers.adopt)
            while not self.stopping:
                self.tick()
                time.sleep(POLL_SECONDS)
            self.stop_all()
        finally:
            self._store.leases.release(SUPERVISOR, SUPERVISOR, str(identity[0]))

    def tick(self) -> None:
        """Look once at everything; a fault in one part does not keep the others from their work."""
        self._guarded("experiments", self._experiments.tick)
        self._guarded("data jobs", self._data.tick)
        self._guarded("model servers", self._servers.tick)

    def stop_all(self) -> None:
        """Ask everything to end; experiments have 15 seconds to save a checkpoint, and wait in the queue then."""
        self._guarded("model servers", lambda: self._servers.stop_all(STOP_SECONDS_OTHERS))
        self._guarded("data jobs", lambda: self._data.stop_all(STOP_SECONDS_OTHERS))
        self._guarded("experiments", lambda: self._experiments.stop_all(self._stop_seconds))

    def _guarded(self, part: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            now = time.monotonic()
            if now - self._reported.get(part, -REPORT_SECONDS) >= REPORT_SECONDS:
                self._reported[part] = now
                log.exception("Looking after %s failed; trying again", part)


def main(arguments: Sequence[str] | None = None, make: Callable[[Store], Supervisor] = Supervisor) -> int:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 2 cannot work on this home.

    make: builds the supervisor; tests give it other commands.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="the studio's home")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    stopped = [False]

    def stop(number: int, frame: FrameType | None) -> None:
        stopped[0] = True
        if supervisor is not None:
            supervisor.stopping = True

    supervisor: Supervisor | None = None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        store = Store.open(Home(parsed.home) if parsed.home else Home.default())
        supervisor = make(store)
        supervisor.stopping = stopped[0]
        supervisor.run()
    except UserError as error:
        log.error("%s", error)
        return 2
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
