"""The number type is chosen from numbers, and the words beside it hold them; no GPU is needed to know it."""

from pathlib import Path

import pytest
import torch

from llm_studio.config.memory import Needs
from llm_studio.modeling.devices import choose_dtype, container_bytes, free_bytes, number_type

EIGHT = Needs(parameters=7_450_000_000, state_bytes=0.7e9, row_bytes=1.25e9, batch_size=4)
SMALL = Needs(parameters=10_000_000, state_bytes=0.01e9, row_bytes=0.02e9, batch_size=4)


def chosen(gigabytes: float, *, wanted: str = "auto", device: str = "cuda:0", needed: Needs | None = EIGHT) -> str:
    return number_type(wanted, device=device, needed=needed, free_bytes=gigabytes * 1e9, all_weights=False).value


def test_sixteen_bits_are_taken_when_they_fit_and_the_numbers_are_said() -> None:
    found = number_type("auto", device="cuda:0", needed=EIGHT, free_bytes=22.1e9, all_weights=False)
    assert found.value == "bfloat16"
    assert found.reason == (
        "its weights take 14.9 GB, gradients and optimiser 700 MB, activations of 4 rows at a time about 5.0 GB; "
        "22.1 GB are free on cuda:0"
    )


def test_a_batch_that_does_not_fit_is_said_to_be_computed_in_parts() -> None:
    found = number_type("auto", device="cuda:0", needed=EIGHT, free_bytes=20e9, all_weights=False)
    assert found.value == "bfloat16"
    assert "2 rows at a time about 2.5 GB" in found.reason
    assert "a batch of 4 rows has to be computed in parts" in found.reason


def test_quantised_is_the_second_choice_and_says_what_sixteen_bits_would_take() -> None:
    found = number_type("auto", device="cuda:0", needed=EIGHT, free_bytes=16e9, all_weights=False)
    assert found.value == "int8"
    assert found.reason.endswith("16.0 GB are free on cuda:0 and bfloat16 would take 16.9 GB with one row at a time")


def test_what_fits_nowhere_is_said() -> None:
    found = number_type("auto", device="cuda:0", needed=EIGHT, free_bytes=2e9, all_weights=False)
    assert found.value == "int4" and "may not be enough" in found.reason


def test_five_per_cent_of_a_gpu_and_thirty_of_a_machine_are_left_alone() -> None:
    assert chosen(20.6 / 0.95 + 0.01) == "bfloat16"
    small = Needs(parameters=1_000_000_000, state_bytes=0, row_bytes=0, batch_size=1)
    assert chosen(4 / 0.7 + 0.01, device="cpu", needed=small) == "float32"
    assert chosen(4 / 0.7 - 0.01, device="cpu", needed=small) == "bfloat16"


def test_a_gpu_without_bfloat16_takes_float16() -> None:
    found = number_type("auto", device="cuda:0", needed=SMALL, free_bytes=8e9, sixteen="float16", all_weights=False)
    assert found.value == "float16"


@pytest.mark.parametrize(
    ("wanted", "device", "all_weights", "expected"),
    [
        ("int4", "cuda:0", False, "int4"),
        ("float16", "cpu", False, "bfloat16"),
        ("auto", "cuda:0", True, "float32"),
        ("float16", "cuda:0", True, "float32"),
        ("bfloat16", "cuda:0", True, "bfloat16"),
    ],
)
def test_what_is_set_is_taken_unless_it_cannot_be_trained(
    wanted: str, device: str, all_weights: bool, expected: str
) -> None:
    assert number_type(wanted, device=device, needed=EIGHT, free_bytes=1e9, all_weights=all_weights).value == expected


def test_a_backbone_of_unknown_size_is_not_quantised() -> None:
    assert chosen(1, needed=None) == "bfloat16"
    assert chosen(1, needed=None, device="cpu") == "float32"


def test_this_machine_holds_a_small_backbone_in_thirty_two_bits() -> None:
    assert choose_dtype("auto", device="cpu", needed=SMALL).value == "float32"


def test_a_container_has_only_what_its_limit_leaves(tmp_path: Path) -> None:
    assert container_bytes(tmp_path) == float("inf")
    for name, text in (("memory.max", "max"), ("memory.current", "300"), ("memory.stat", "anon 200\ninactive_file 50")):
        (tmp_path / name).write_text(f"{text}\n")
    assert container_bytes(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("1000\n")
    assert container_bytes(tmp_path) == 750


def test_what_torch_holds_in_reserve_of_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (2_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda gpu: 50_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda gpu: 15_000)
    assert free_bytes("cuda:0") == 37_000
