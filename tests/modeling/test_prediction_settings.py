"""Every setting of an answer shapes the tokens that are drawn as its sentence says; so do beams, and so does a chat."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.modeling.answering import Asked
from llm_studio.modeling.decoding import Ending, decode
from llm_studio.modeling.generation import MOST_ROWS, generate
from llm_studio.modeling.loading import LoadedModel, load_model, quiet
from llm_studio.serving.engine import ChatEngine
from llm_studio.tokens.template import Template
from tests.support.tiny import config_of, rows_of
from tests.support.tuned import make_backbone

PROMPTS = [[5, 6, 7, 8], [9], [10, 11, 12, 13, 14, 15, 16, 17], [20, 21], [30, 31, 32]]
PROMPT = PROMPTS[0]
DRAWS = 4000


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def model(backbone: Path) -> Any:
    made, _ = load_model(config_of(backbone), device="cpu")
    with torch.no_grad():
        for name, weight in made.named_parameters():  # so that a few tokens are likely, and others at each place
            weight.mul_(14 if "embed" in name else 8 if weight.dim() == 2 else 1)
    return made.eval()


@pytest.fixture(scope="module")
def template(backbone: Path) -> Template:
    return rows_of(config_of(backbone))[0]


def settings(backbone: Path, **changes: Any) -> ExperimentConfig:
    wanted = {"max_length_inference": 12} | changes
    return config_of(backbone, **{f"prediction.{name}": value for name, value in wanted.items()})


def greedy(model: Any, prompt: list[int], *, stops: tuple[int, ...] = (), shortest: int = 0) -> list[int]:
    """The likeliest of twelve tokens, one after the other, each from the whole text, up to one that ends the answer."""
    found: list[int] = []
    with torch.no_grad():
        for count in range(12):
            chances = model(input_ids=torch.tensor([prompt + found])).logits[0, -1].clone()
            chances[list(stops) if count < shortest else []] = -torch.inf
            found.append(int(chances.argmax()))
            if found[-1] in stops:
                return found[:-1]
    return found


def by_transformers(model: Any, template: Template, ends: tuple[int, ...], **arguments: Any) -> list[str]:
    """Answers of three beams, one prompt at a time."""
    named = {"max_new_tokens": 12, "num_beams": 3, "do_sample": False, "eos_token_id": list(ends) or None} | arguments
    found = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=template.pad_id, **named)
        tokens = [token for token in made[0, len(prompt) :].tolist() if token not in (*ends, template.pad_id)]
        found.append(template.tokenizer.decode(tokens, skip_special_tokens=True).strip())
    return found


def decoded(model: Any, config: ExperimentConfig, ending: Ending, *, rows: int, limit: int) -> list[list[int]]:
    """Tokens of so many answers to PROMPT, drawn with different seeds."""
    found: dict[int, list[int]] = {}
    asked = [Asked(row, PROMPT, row, limit) for row in range(rows)]
    decode(model, asked, config.prediction, ending, at_once=lambda width: rows, answered=found.__setitem__)
    return [found[row] for row in range(rows)]


@contextmanager
def widths(model: Any) -> Iterator[list[tuple[int, int]]]:
    """Rows and tokens of each forward within."""
    seen: list[tuple[int, int]] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (2.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 3, 1.0), (1.5, 0, 0.6)]
)
def test_tokens_are_drawn_by_temperature_from_the_likeliest_that_are_allowed(
    backbone: Path, model: Any, temperature: float, top_k: int, top_p: float
) -> None:
    config = settings(backbone, do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    with torch.no_grad():
        chances = (model(input_ids=torch.tensor([PROMPT])).logits[0, -1].double() / temperature).softmax(-1)
    likeliest, places = chances.sort(descending=True)
    before = likeliest.cumsum(-1) - likeliest
    allowed = (before < top_p) & (torch.arange(len(chances)) < (top_k or len(chances)))
    expected = torch.zeros_like(chances)
    expected[places] = likeliest * allowed / (likeliest * allowed).sum()

    made = decoded(model, config, Ending((), None, 0), rows=DRAWS, limit=1)
    found = torch.tensor(made)[:, 0].bincount(minlength=len(chances)) / DRAWS
    assert int((expected > 0).sum()) > 1, "more than one token can be drawn"
    assert not bool(found[expected == 0].any())
    assert float((found - expected).abs().max()) < 0.03  # four standard deviations of a share


@pytest.mark.parametrize("more", [None, 0, 1, 4])
def test_a_token_that_ends_answers_ends_them_but_not_before_the_shortest(
    backbone: Path, model: Any, template: Template, more: int | None
) -> None:
    whole = greedy(model, PROMPT)
    end = next(token for token in whole[3:] if whole.count(token) == 1)
    shortest = 0 if more is None else whole.index(end) + more
    expected = greedy(model, PROMPT, stops=(end,), shortest=shortest)
    assert len(expected) == whole.index(end) if not more else len(expected) >= shortest
    config = settings(backbone, min_length_inference=shortest)
    with widths(model) as seen:
        made = decoded(model, config, Ending((end,), None, 0), rows=1, limit=12)
    assert made == [expected]
    assert len(seen) == min(12, len(expected) + 1), "nothing is drawn behind it"


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, {}),
        ({"num_beams": 5}, {"num_beams": 5}),
        ({"min_length_inference": 9}, {"min_new_tokens": 9}),
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"max_length_inference": 5}, {"max_new_tokens": 5}),
    ],
    ids=["plain", "beams", "shortest", "repetition", "longest"],
)
def test_beams_keep_the_other_settings(
    backbone: Path, model: Any, template: Template, changes: dict[str, Any], arguments: dict[str, Any]
) -> None:
    ends = tuple(greedy(model, prompt)[3] for prompt in PROMPTS)
    expected = by_transformers(model, template, ends, **arguments)
    config = settings(backbone, num_beams=3).with_changes({f"prediction.{name}": changes[name] for name in changes})
    assert generate(model, replace(template, stop_ids=ends), PROMPTS, config) == expected


def test_a_beam_that_holds_a_stop_text_has_ended_and_competes_with_the_others(
    backbone: Path, model: Any, template: Template
) -> None:
    long = {"max_new_tokens": 60}
    whole = by_transformers(model, template, (), **long)[0]
    stop = whole[len(whole) // 8 :][:4]
    expected = by_transformers(model, template, (), **long, stop_strings=[stop], tokenizer=template.tokenizer)[0]
    assert expected.split(stop)[0] != whole.split(stop)[0], "another beam wins"
    config = settings(backbone, num_beams=3, stop_tokens=stop, max_length_inference=60)
    found = generate(model, replace(rows_of(config)[0], stop_ids=()), PROMPTS[:1], config)
    assert found == [expected.split(stop)[0].strip()]


@pytest.mark.parametrize("beams", [1, 3])
def test_sampling_repeats_with_a_seed_and_differs_with_another(
    backbone: Path, model: Any, template: Template, beams: int
) -> None:
    config = settings(backbone, num_beams=beams, do_sample=True, temperature=3.0)
    first = generate(model, template, PROMPTS, config)
    state = torch.get_rng_state()
    assert generate(model, template, PROMPTS, config) == first
    assert torch.equal(state, torch.get_rng_state())
    assert generate(model, template, PROMPTS, config.with_changes({"environment.seed": 7})) != first
    assert generate(model, template, PROMPTS, config.with_changes({"prediction.do_sample": False})) != first


def test_an_answer_ends_before_any_of_the_stop_texts_and_nothing_is_drawn_long_after_one(
    backbone: Path, model: Any
) -> None:
    def answered(**changes: Any) -> tuple[str, int]:
        config = settings(backbone, max_length_inference=60, **changes)
        with widths(model) as seen:
            found = generate(model, rows_of(config)[0], [PROMPT], config)[0]
        return found, len(seen)

    whole, tokens = answered()
    stop = whole[len(whole) // 8 :].lstrip()[:4].strip()
    for texts in (stop, f"neither this, {stop}", f"{stop} , nor that"):
        found, fewer = answered(stop_tokens=texts)
        assert found == whole.split(stop)[0].strip()
        assert fewer < tokens // 2


@pytest.mark.parametrize("beams", [1, 2])
def test_the_time_limit_ends_a_batch_and_keeps_what_was_drawn(
    backbone: Path, model: Any, template: Template, beams: int
) -> None:
    hook = model.get_input_embeddings().register_forward_hook(lambda *_: time.sleep(0.02))
    changes = {"max_length_inference": 200, "min_length_inference": 200, "num_beams": beams}
    with widths(model) as seen:
        found = generate(model, template, [PROMPT], settings(backbone, max_time=0.1, **changes))
    hook.remove()
    assert 0 < len(seen) <= 6
    assert found[0]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_so_many_rows_are_answered_at_once_as_are_set(
    backbone: Path, model: Any, template: Template, rows: int
) -> None:
    with widths(model) as seen:
        generate(model, template, PROMPTS, settings(backbone, batch_size_inference=rows, max_length_inference=1))
    assert [width for width, _ in seen] == {1: [1] * 5, 2: [2, 2, 1], 5: [5]}[rows]


def test_more_rows_than_the_studio_would_take_by_itself_are_answered_at_once_where_set(
    backbone: Path, model: Any, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        available = 0

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    rows = MOST_ROWS["cpu"] + 3
    with widths(model) as seen:
        config = settings(backbone, batch_size_inference=rows, max_length_inference=1)
        generate(model, template, [[5]] * rows, config)
    assert seen == [(rows, 1)]


def test_a_prompt_that_leaves_no_room_for_the_longest_answer_loses_its_beginning(
    backbone: Path, model: Any, template: Template
) -> None:
    limit = model.config.max_position_embeddings
    long = [5 + place % 40 for place in range(limit)]
    config = settings(backbone, max_length_inference=20)
    assert generate(model, template, [long], config) == generate(model, template, [long[20:]], config)


@pytest.mark.parametrize("changes", [{}, {"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}], ids=str)
def test_a_chat_draws_from_what_is_allowed(backbone: Path, model: Any, changes: dict[str, Any]) -> None:
    config = settings(backbone, max_length_inference=30)
    template = rows_of(config)[0]
    said = [{"role": "user", "content": "Say 3"}]
    drawn = settings(backbone, max_length_inference=30, do_sample=True, **{"temperature": 5.0} | changes)
    answers = []
    for one in (config, drawn):
        engine = ChatEngine(LoadedModel(model, template.tokenizer, template, False, one, "cpu"), name="tuned")
        answers.append("".join(engine.stream(said, replace(engine.default_sampling, seed=1))))
    assert (answers[0] == answers[1]) == bool(changes)


@pytest.mark.parametrize(
    "changes", [{}, {"max_length_inference": 5}, {"repetition_penalty": 1.6}, {"stop_tokens": "found below"}], ids=str
)
def test_a_chat_answers_as_the_evaluation_did(backbone: Path, model: Any, changes: dict[str, Any]) -> None:
    def answers(**more: Any) -> tuple[str, str]:
        config = settings(backbone, max_length_inference=30, temperature=5.0).with_changes(more)
        template = rows_of(config)[0]
        engine = ChatEngine(LoadedModel(model, template.tokenizer, template, False, config, "cpu"), name="tuned")
        said = [{"role": "user", "content": "Say 3"}]
        evaluated = generate(model, template, [engine.prompt_ids(said)], config)[0]
        return evaluated, "".join(engine.stream(said, engine.default_sampling)).strip()

    whole, _ = answers()
    if "stop_tokens" in changes:
        changes = {"stop_tokens": f"not this, {whole[len(whole) // 2 :].lstrip()[:3].strip()}"}
    evaluated, chatted = answers(**{f"prediction.{name}": value for name, value in changes.items()})
    assert chatted == evaluated
    assert (evaluated == whole) == (not changes)
