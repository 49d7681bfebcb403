"""What is found wrong or doubtful in a config as a whole."""

from typing import Any

import pytest

from llm_studio.config import Finding, check, make_config, settings_by_path


def findings(changes: dict[str, object], **facts: Any) -> dict[str, Finding]:
    known = {"train_rows": 1000, "validation_rows": 100, "device": "cuda:0"} | facts
    return {finding.path: finding for finding in check(make_config(changes), **known)}


def test_finds_nothing_in_the_defaults() -> None:
    assert findings({}) == {}
    assert findings({}, device="cpu") == {}


@pytest.mark.parametrize(
    ("changes", "path", "level"),
    [
        ({"architecture.backbone_dtype": "int4", "training.lora": False}, "training.lora", "error"),
        ({"architecture.backbone_dtype": "int8", "training.lora": False}, "training.lora", "error"),
        ({"architecture.backbone_dtype": "int8", "architecture.pretrained_weights": "a.pth"},
         "architecture.backbone_dtype", "error"),
        ({"prediction.do_sample": True, "prediction.temperature": 0.0}, "prediction.temperature", "error"),
        ({"prediction.stop_tokens": ",".join(map(str, range(17)))}, "prediction.stop_tokens", "error"),
        ({"prediction.min_length_inference": 400}, "prediction.min_length_inference", "error"),
        ({"prediction.metric": "gpt", "prediction.metric_gpt_model": " "}, "prediction.metric_gpt_model", "error"),
        ({"training.warmup_epochs": 2.0, "training.epochs": 2}, "training.warmup_epochs", "warning"),
        ({"training.lora": False, "llm_backbone": "a/b"}, "training.learning_rate", "warning"),
        ({"training.learning_rate": 0.01, "llm_backbone": "a/b"}, "training.learning_rate", "warning"),
        ({"training.batch_size": 1024}, "training.batch_size", "warning"),
        ({"training.lora_alpha": 1000}, "training.lora_alpha", "warning"),
        ({"training.train_validation_data": True}, "training.train_validation_data", "warning"),
        ({"environment.trust_remote_code": True}, "environment.trust_remote_code", "warning"),
        ({"architecture.backbone_dtype": "bfloat16", "training.lora": False}, "architecture.backbone_dtype", "warning"),
        ({"dataset.chat_template": "markers", "dataset.add_eos_token_to_answer": False},
         "dataset.add_eos_token_to_answer", "warning"),
        ({"training.epochs": 0}, "training.epochs", "note"),
        ({"prediction.do_sample": True}, "prediction.do_sample", "note"),
        ({"prediction.max_length_inference": 1024}, "prediction.max_length_inference", "note"),
    ],
)  # fmt: skip
def test_finds(changes: dict[str, object], path: str, level: str) -> None:
    finding = findings(changes)[path]
    assert finding.level == level
    assert finding.path in settings_by_path()
    assert finding.fix or level == "note" or path == "training.train_validation_data"


def test_quantising_on_a_cpu_is_told_and_not_refused() -> None:
    assert (
        findings({"architecture.backbone_dtype": "int8"}, device="cpu")["architecture.backbone_dtype"].level == "note"
    )


def test_a_conversation_longer_than_the_context_is_an_error_with_the_limit() -> None:
    finding = findings({"tokenizer.max_length": 4096}, context_length=2048)["tokenizer.max_length"]
    assert finding.level == "error"
    assert "4096" in finding.what
    assert "2048" in finding.fix


def test_few_validation_rows_are_a_note_and_none_an_error() -> None:
    assert findings({}, validation_rows=49)["dataset_id"].level == "note"
    assert "dataset_id" not in findings({}, validation_rows=50)
    assert findings({}, validation_rows=0)["dataset_id"].level == "error"
    assert findings({}, train_rows=0)["dataset_id"].level == "error"


def test_a_step_larger_than_the_rows_to_learn_from_counts_validation_rows_that_are_learned() -> None:
    few = {"train_rows": 30, "validation_rows": 60}
    assert "only 30 to learn" in findings({"training.batch_size": 64}, **few)["training.batch_size"].what
    also = {"training.batch_size": 64, "training.train_validation_data": True}
    assert "training.batch_size" not in findings(also, **few)


def test_errors_come_first() -> None:
    changes = {"training.epochs": 0, "training.train_validation_data": True, "prediction.min_length_inference": 400}
    levels = [finding.level for finding in findings(changes).values()]
    assert levels == ["error", "warning", "note"]
