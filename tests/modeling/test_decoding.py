"""Waiting rows take the places of ended ones, and nobody's answer changes by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from llm_studio.config.prediction import Prediction
from llm_studio.modeling import decoding, unasked_mask
from llm_studio.modeling.answering import Asked
from llm_studio.modeling.decoding import Ending, decode, joins

PAD, STOP, VOCABULARY = 0, 2, 60
PROMPTS = [[5, 6, 7, 8], [9], [10, 11, 12, 13, 14, 15, 16, 17], [20, 21], [30, 31, 32], [7, 7, 9], [41] * 11, [50]]
LIMITS = [3, 12, 1, 9, 12, 2, 7, 12]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCABULARY}


@pytest.fixture(scope="module")
def model() -> Any:
    return drawn(LlamaForCausalLM(LlamaConfig(**SIZES, intermediate_size=64, num_key_value_heads=2)))


@pytest.fixture(autouse=True)
def joining(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(decoding, "JOIN_ON", {"cpu"})


def drawn(model: Any) -> Any:
    """Weights so far apart that the likeliest tokens differ from row to row."""
    torch.set_num_threads(1)
    values = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=values) * 0.3)
    return model.eval()


def answers(model: Any, at_once: int, limits: list[int] = LIMITS, **settings: Any) -> dict[int, list[int]]:
    """By row, answered `at_once` rows at a time."""
    found: dict[int, list[int]] = {}
    asked = [Asked(row, prompt, 100 + row, limits[row]) for row, prompt in enumerate(PROMPTS)]
    prediction = Prediction(**{"max_length_inference": max(limits)} | settings)
    ending = Ending((STOP,), None, PAD)
    decode(model, asked, prediction, ending, at_once=lambda width: at_once, answered=found.__setitem__)
    return found


@contextmanager
def seen(model: Any) -> Iterator[list[tuple[int, int, int]]]:
    """Of each forward: rows, tokens of each, and columns of the mask."""
    found: list[tuple[int, int, int]] = []

    def note(module: Any, arguments: Any, named: Any) -> None:
        found.append((*named["input_ids"].shape, named["attention_mask"].shape[1]))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    yield found
    hook.remove()


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "settings",
    [{}, {"do_sample": True, "temperature": 1.3}, {"repetition_penalty": 1.8}, {"min_length_inference": 6}],
    ids=["likeliest", "drawn", "repetition", "shortest"],
)
def test_an_answer_does_not_depend_on_the_rows_beside_it(model: Any, at_once: int, settings: dict[str, Any]) -> None:
    assert answers(model, at_once, **settings) == answers(model, 1, **settings)


def test_a_waiting_row_begins_when_a_place_is_free(model: Any) -> None:
    with seen(model) as forwards:
        found = answers(model, 3)
    assert sorted(found) == list(range(len(PROMPTS)))
    assert sum(rows for rows, tokens, _ in forwards if tokens > 1 or rows < 3) >= len(PROMPTS) - 3
    steps = [rows for rows, tokens, width in forwards if width > 11 or tokens == 1]
    assert max(steps) == 3
    with seen(model) as forwards:
        answers(model, 3, max_time=600.0)
    assert len(steps) < len([rows for rows, tokens, _ in forwards if tokens == 1])


def test_columns_that_nobody_needs_any_more_are_let_go(model: Any) -> None:
    with seen(model) as forwards:
        answers(model, 2)
    longest = max(len(prompt) + limit for prompt, limit in zip(PROMPTS, LIMITS, strict=True))
    assert max(width for _, _, width in forwards) <= longest
    assert forwards[-1][2] <= len(PROMPTS[-1]) + LIMITS[-1]


def test_padding_does_not_count_as_said_before(model: Any) -> None:
    """With a tokenizer whose padding is its end of turn, a penalty on it would make padded rows end later."""
    asked = [Asked(0, [9], 0, 12), Asked(1, [41] * 11, 1, 12)]
    likely = answers(model, 1)[1][3]

    def made(rows: list[Asked]) -> list[int]:
        found: dict[int, list[int]] = {}
        ending = Ending((likely,), None, likely)
        prediction = Prediction(max_length_inference=12, repetition_penalty=5.0)
        decode(model, rows, prediction, ending, at_once=lambda width: 2, answered=found.__setitem__)
        return found[0]

    assert made(asked) == made(asked[:1])


def test_an_ended_row_asks_for_no_position_that_the_backbone_lacks() -> None:
    longest = max(map(len, PROMPTS))
    model = drawn(GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=VOCABULARY, n_positions=23)))
    assert longest + max(LIMITS) == 23
    assert answers(model, 8) == answers(model, 1)


def test_rows_of_a_sliding_window_are_answered_in_batches_that_begin_together() -> None:
    model = drawn(MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=4)))
    assert not joins(model, Prediction())
    assert answers(model, 3) == answers(model, 1)


def test_rows_join_on_a_gpu_where_no_time_limit_and_no_beams_are_set(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert joins(model, Prediction())
    assert not joins(model, Prediction(max_time=5.0))
    assert not joins(model, Prediction(num_beams=2))
    monkeypatch.undo()
    assert not joins(model, Prediction()), "on a CPU batches that begin together are faster"


class Looks(TorchDispatchMode):
    """Counts values that are read from tensors, for which a GPU must be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten.is_nonzero.default, torch.ops.aten._local_scalar_dense.default)
        return func(*args, **kwargs or {})


def test_no_token_waits_for_the_device(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(model, 8, [12] * 8)
    monkeypatch.setattr(decoding, "LOOK_EVERY", {"cpu": 8})
    with Looks() as asked:
        answers(model, 8, [12] * 8)
    monkeypatch.setattr(unasked_mask, "DEVICES", {"cpu"})
    with Looks() as unasked:
        assert answers(model, 8, [12] * 8) == expected
    assert asked.count >= 11
    assert unasked.count <= 1
    assert model.config._attn_implementation == "sdpa"
