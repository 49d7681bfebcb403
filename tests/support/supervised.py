"""A home with a supervisor in a process of its own, its trainers and jobs played by small scripts."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from llm_studio.store import ExperimentRecord, Home, Store

HERE = Path(__file__).parents[1] / "worker"


class Studio:
    """A home with a supervisor that can be ended and started again."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.store = Store.open(self.home)
        self.dataset = self.store.datasets.create(
            name="stories", row_count=1, train_rows=1, validation_rows=0, settings={}, fingerprint="f",
            source="starter", size_bytes=1,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, str(HERE / "fake_supervisor.py"), "--home", str(self.home.path)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.store.supervisor_is_alive, seconds=15)

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        self.process = None

    def add(self, name: str, behaviour: str = "work 0.2", device: str = "cpu") -> ExperimentRecord:
        return self.store.experiments.create(
            behaviour, name=name, dataset_id=self.dataset.id, backbone="b", problem_type="causal_lm", device=device
        )

    def status(self, record: ExperimentRecord) -> str:
        return self.store.experiments.get(record.id).status

    def learning(self, record: ExperimentRecord) -> bool:
        found = self.store.experiments.get(record.id)
        return found.status == "running" and found.progress > 0

    def pid(self, record: ExperimentRecord) -> int:
        found = self.store.experiments.get(record.id).pid
        assert found, "it has no process"  # os.kill(0) would end the tests themselves
        return found


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.03)
