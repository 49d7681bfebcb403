"""The estimate is arithmetic: it must move the right way, and be right where arithmetic can be."""

from dataclasses import replace
from typing import Any

import pytest

from llm_studio.config import BackboneFacts, Estimate, estimate, make_config
from llm_studio.config.estimate import likely_fit
from llm_studio.config.memory import PROGRAM_BYTES, USABLE, needs, trained_parameters
from llm_studio.modeling.devices import number_type

LLAMA_8B = BackboneFacts(
    name="some/llama-8b", source="hub", architecture="LlamaForCausalLM", model_type="llama",
    parameters=8_030_000_000, parameters_exact=True, hidden_size=4096, intermediate_size=14336, layers=32,
    attention_heads=32, key_value_heads=8, vocabulary_size=128256, context_length=8192, has_chat_template=True,
    tied_embeddings=False,
)  # fmt: skip


def of(changes: dict[str, object] | None = None, **more: Any) -> Estimate:
    facts = {"facts": LLAMA_8B, "train_rows": 1000, "validation_rows": 100, "mean_tokens": 300.0, "device": "cuda:0"}
    return estimate(make_config(changes or {}), **(facts | more))


def test_counts_the_weights_of_an_adapter_as_peft_does() -> None:
    # q and o: 2 x (4096 + 4096); k and v: 2 x (4096 + 1024); gate, up, down: 3 x (4096 + 14336); times r and layers
    assert trained_parameters(make_config({"training.lora_r": 16}), LLAMA_8B) == 16 * 32 * (16384 + 10240 + 55296)
    assert trained_parameters(make_config({"training.lora": False}), LLAMA_8B) == 8_030_000_000


def test_full_training_takes_sixteen_bytes_a_weight_on_top() -> None:
    full = of({"training.lora": False, "architecture.backbone_dtype": "bfloat16"})
    assert full.memory_bytes > LLAMA_8B.parameters * 18 + PROGRAM_BYTES["cuda"]
    assert full.memory_bytes > 4 * of().memory_bytes


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"architecture.backbone_dtype": "int4"}, {"architecture.backbone_dtype": "int8"}),
        ({"architecture.backbone_dtype": "bfloat16"}, {"architecture.backbone_dtype": "float32"}),
        ({"training.batch_size": 2}, {"training.batch_size": 8}),
        ({"architecture.gradient_checkpointing": True}, {}),
        ({"training.lora_r": 8}, {"training.lora_r": 64}),
    ],
)
def test_memory_moves_the_right_way(less: dict[str, object], more: dict[str, object]) -> None:
    assert of(less).memory_bytes < of(more).memory_bytes


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"training.epochs": 1}, {"training.epochs": 3}),
        ({}, {"training.lora": False}),
        ({"training.evaluation_epochs": 2.0}, {"training.evaluation_epochs": 0.1}),
        ({"prediction.max_generated_rows": 10}, {"prediction.max_generated_rows": 100}),
        ({"tokenizer.max_length": 64}, {}),
    ],
)
def test_time_moves_the_right_way(less: dict[str, object], more: dict[str, object]) -> None:
    assert of(less).seconds < of(more).seconds


def test_more_cores_are_faster() -> None:
    assert of(device="cpu", cores=16).seconds < of(device="cpu", cores=2).seconds


@pytest.mark.parametrize(
    ("device", "gigabytes", "dtype"),
    [("cuda:0", 80, "bfloat16"), ("cuda:0", 16, "int8"), ("cuda:0", 10, "int4"), ("cuda:0", 1, "int4"),
     ("cuda:0", None, "bfloat16"), ("cpu", 256, "float32"), ("cpu", 32, "bfloat16"), ("cpu", None, "float32")],
)  # fmt: skip
def test_auto_is_the_number_type_that_leaves_room(device: str, gigabytes: int | None, dtype: str) -> None:
    memory = None if gigabytes is None else gigabytes * 1e9
    found = likely_fit(make_config({}), LLAMA_8B, device=device, device_memory_bytes=memory, mean_tokens=300.0)
    assert found.dtype == dtype


@pytest.mark.parametrize("gigabytes", [10, 14, 18, 24, 30, 48])
@pytest.mark.parametrize("changes", [{}, {"training.lora": False}, {"architecture.backbone_dtype": "int4"}])
def test_the_page_expects_the_number_type_that_the_engine_chooses(gigabytes: float, changes: dict[str, object]) -> None:
    config, total = make_config(changes), gigabytes * 1e9
    expected = likely_fit(config, LLAMA_8B, device="cuda:0", device_memory_bytes=total, mean_tokens=300.0).dtype
    free = total - PROGRAM_BYTES["cuda"] / USABLE["cuda"]  # what is free once the programs are loaded
    chosen = number_type(
        config.architecture.backbone_dtype,
        device="cuda:0",
        needed=needs(config, LLAMA_8B, mean_tokens=300.0),
        free_bytes=free,
        all_weights=not config.training.lora,
    )
    assert chosen.value == expected


def test_a_small_device_is_expected_to_hold_what_the_engine_will_put_there() -> None:
    small, large = of(device_memory_bytes=24e9), of(device_memory_bytes=80e9)
    assert small.fits and large.fits and small.memory_bytes < large.memory_bytes
    assert any("Activations of 1 row at a time" in reason for reason in small.reasons)


def test_says_whether_it_fits_where_the_memory_is_known() -> None:
    assert of().fits is None
    assert of(device_memory_bytes=80e9).fits is True
    assert of({"training.lora": False}, device_memory_bytes=80e9).fits is False


def test_gives_its_reasons_in_words() -> None:
    reasons = of().reasons
    assert any("Weights in bfloat16: 16.06 GB." in reason for reason in reasons)
    assert any("evaluations" in reason for reason in reasons)


def test_an_experiment_that_only_scores_takes_time_too() -> None:
    assert of({"training.epochs": 0}).seconds > 0
    assert of(facts=replace(LLAMA_8B, attention_heads=0)).memory_bytes > 0
