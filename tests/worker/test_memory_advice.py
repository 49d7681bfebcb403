"""Advice on memory names the experiment's own numbers, and nothing that was tried or is on already."""

import signal
from pathlib import Path

import pytest

from llm_studio.config import make_config, to_yaml
from llm_studio.errors import UserError
from llm_studio.training.trainer import OutOfMemoryError
from llm_studio.worker.endings import why_an_experiment_ended
from llm_studio.worker.job import advised, explain
from llm_studio.worker.memory_advice import UNKNOWN, less_memory


def test_a_smaller_batch_keeps_the_rows_of_a_step() -> None:
    for rows, accumulation, words in (
        (8, 1, "batch size 8 → 4 with gradient accumulation 1 → 2"),
        (9, 2, "batch size 9 → 3 with gradient accumulation 2 → 6"),
        (7, 1, "batch size 7 → 1 with gradient accumulation 1 → 7"),
    ):
        assert words in less_memory(
            make_config({"training.batch_size": rows, "training.grad_accumulation": accumulation})
        )


def test_names_only_what_is_left_to_do() -> None:
    config = make_config(
        {"training.batch_size": 1, "architecture.gradient_checkpointing": True, "tokenizer.max_length": 96}
    )
    assert less_memory(config, dtype="int4") == (
        "Close other programs that use the same memory, or take a smaller backbone."
    )
    full = less_memory(make_config({"training.lora": False}), dtype="float32")
    assert "Turn LoRA on" in full and "int8" not in full
    assert "in int4 instead of int8" in less_memory(make_config({}), dtype="int8")
    assert "1,024 → 512 tokens" in less_memory(make_config({"tokenizer.max_length": 1024}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(to_yaml(make_config({"training.batch_size": 8})))
    (tmp_path / "begun.json").write_text('{"dtype": "bfloat16", "fingerprint": ""}')
    return tmp_path


def test_the_kill_of_the_system_and_the_error_of_the_device_say_the_same(folder: Path) -> None:
    killed = why_an_experiment_ended(folder, -signal.SIGKILL, None)
    raised = explain(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), folder)
    assert killed.fix == raised.fix
    assert "batch size 8 → 4 with gradient accumulation 1 → 2" in killed.fix
    assert "in int8 or int4 instead of bfloat16" in killed.fix


def test_after_single_rows_were_tried_a_smaller_batch_is_not_advised(folder: Path) -> None:
    error = advised(OutOfMemoryError("cuda:0", 4096), folder)
    assert error.what == "cuda:0 ran out of memory on a single row of 4,096 tokens."
    assert "one row at a time already" in error.fix and "Set batch size" not in error.fix
    other = UserError("Something else.")
    assert advised(other, folder) is other


def test_without_a_config_the_advice_is_general(tmp_path: Path) -> None:
    assert explain(MemoryError(), tmp_path).fix == UNKNOWN
