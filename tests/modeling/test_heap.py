"""Kept kernels are bounded and freed memory goes back to the system."""

import os
import subprocess
import sys

import pytest

from llm_studio.modeling import heap

HOLES = """
import psutil
from llm_studio.modeling import heap
heap.keep_few_kernels()
import os
resident = psutil.Process().memory_info
pieces = [bytearray(60_000) for _ in range(4_000)]
kept = pieces[::100]
del pieces
before = resident().rss
done = heap.give_back()
print(done, before - resident().rss, len(kept), os.environ[heap.VARIABLE])
"""


def told(**environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name != heap.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", HOLES], env=clean | environment, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_holes_between_what_is_kept_go_back_to_the_system() -> None:
    done, freed, kept, kernels = told()
    assert (done, kept, kernels) == ("True", "40", heap.KERNELS)
    assert int(freed) > 100_000_000


def test_the_environment_says_how_many_kernels_are_kept() -> None:
    assert told(**{heap.VARIABLE: "7"})[-1] == "7"


def test_a_training_gives_back_now_and_then_and_not_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    clock = [100.0]
    monkeypatch.setattr(heap, "give_back", lambda: calls.append(1))
    monkeypatch.setattr(heap.time, "monotonic", lambda: clock[0])
    tidy = heap.NowAndThen()
    for _ in range(10):
        tidy.give_back()
    assert calls == []
    clock[0] += heap.EVERY_SECONDS
    tidy.give_back()
    tidy.give_back()
    assert calls == [1]
