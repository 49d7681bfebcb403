"""The number type follows from numbers alone: 16 bits whenever they fit, fewer rows at a time before fewer bits."""

import pytest

from llm_studio.config import BackboneFacts, make_config
from llm_studio.config.memory import ORDER, Fit, Needs, fitting, halves, needs

BILLION = 1_000_000_000
EIGHT = Needs(parameters=8 * BILLION, state_bytes=0.7e9, row_bytes=2.5e9, batch_size=4)
SMALL = BackboneFacts(
    name="small", source="local", architecture="LlamaForCausalLM", model_type="llama", parameters=1_000_000,
    parameters_exact=True, hidden_size=10, intermediate_size=40, layers=2, attention_heads=1, key_value_heads=1,
    vocabulary_size=100, context_length=64, has_chat_template=True, tied_embeddings=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [
        (26.8, Fit("bfloat16", 4, True)),  # 16 + 0.7 + 4 x 2.5 = 26.7
        (26.6, Fit("bfloat16", 2, True)),
        (19.3, Fit("bfloat16", 1, True)),
        (19.1, Fit("int8", 2, True)),  # 8.8 + 0.7 + 5 = 14.5; with four rows 19.5
        (12.1, Fit("int8", 1, True)),
        (11.9, Fit("int4", 2, True)),
        (3.0, Fit("int4", 1, False)),
    ],
)
def test_takes_fewer_rows_at_a_time_before_fewer_bits(gigabytes: float, expected: Fit) -> None:
    assert fitting(EIGHT, free_bytes=gigabytes * 1e9, order=ORDER["cuda"]) == expected


def test_a_batch_is_halved_down_to_one_row() -> None:
    assert list(halves(6)) == [6, 3, 1]
    assert list(halves(1)) == [1]


def test_counts_state_and_activations_as_the_formula_says() -> None:
    config = make_config({"training.batch_size": 8, "training.lora_r": 4, "tokenizer.max_length": 32})
    found = needs(config, SMALL, mean_tokens=10)
    # q, o: 2 x 20; k, v: 2 x 20; gate, up, down: 3 x 50; times rank and layers; 16 bytes each with AdamW
    assert found.state_bytes == 4 * 2 * (40 + 40 + 150) * 16
    assert found.row_bytes == 15 * (2 * 10 * 34 + 100 * 8)
    assert found.total_bytes("int4", 8) == 0.6 * 1_000_000 + found.state_bytes + 8 * found.row_bytes
    assert needs(config, SMALL).row_bytes == found.row_bytes * 32 / 15


@pytest.mark.parametrize(
    "less", [{"architecture.gradient_checkpointing": True}, {"training.optimizer": "AdamW8bit"},
             {"training.batch_size": 1}, {"tokenizer.max_length": 32}],
)  # fmt: skip
def test_settings_that_save_memory_are_counted(less: dict[str, object]) -> None:
    plain, saving = needs(make_config({}), SMALL), needs(make_config(less), SMALL)
    assert saving.total_bytes("bfloat16", saving.batch_size) < plain.total_bytes("bfloat16", plain.batch_size)
