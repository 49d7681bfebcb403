"""A supervisor with real processes, which ends with its test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_studio.store.processes import send_signal
from tests.support.supervised import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    if made.process is not None:
        made.end()
    for record in made.store.experiments.list():
        send_signal(record.pid, record.pid_started_at, signal.SIGKILL, word=record.id)
    made.store.close()
