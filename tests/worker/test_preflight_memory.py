"""Peak memory as the system counts it."""

from pathlib import Path

import psutil
import torch

from llm_studio.worker.preflight_memory import (
    available_bytes,
    bytes_now,
    device_bytes,
    forget_peak,
    machine_bytes,
    of_an_experiment,
    peak_bytes,
)

MORE = 200_000_000


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = bytes_now("cpu")
    held = torch.ones(MORE, dtype=torch.uint8)
    assert int(held[-1]) == 1
    del held
    assert peak_bytes("cpu") >= before + 0.9 * MORE
    assert bytes_now("cpu") < before + MORE // 2


def test_a_container_that_is_allowed_less_than_the_machine_has_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    total = psutil.virtual_memory().total
    limit.write_text("max\n")
    assert machine_bytes((limit, tmp_path / "none")) == total
    limit.write_text("1000000000\n")
    assert machine_bytes((limit,)) == 10**9


def test_what_is_available_includes_what_the_process_has_already() -> None:
    assert bytes_now("cpu") < available_bytes("cpu") <= device_bytes("cpu")


def test_a_peak_that_is_forgotten_counts_anew_from_what_is_held() -> None:
    held = torch.ones(MORE, dtype=torch.uint8)
    before = peak_bytes("cpu")
    del held
    if forget_peak("cpu"):  # not every system lets a process do it
        assert peak_bytes("cpu") < before - MORE // 2
    else:
        assert peak_bytes("cpu") == before


def test_an_experiment_takes_somewhat_more_than_its_check_on_a_cpu_alone() -> None:
    assert of_an_experiment(1_000_000_000, "cpu") == 1_100_000_000
    assert of_an_experiment(1_000_000_000, "cuda:0") == 1_000_000_000
