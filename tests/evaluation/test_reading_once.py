"""Rows that get an answer are read once: the same nats and the same answers as by reading them twice."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.data.types import Conversation, Message
from llm_studio.evaluation import reading_once
from llm_studio.evaluation.scoring import Question, log_likelihoods, make_questions, score_rows
from llm_studio.modeling import prefill
from llm_studio.modeling.generation import generate
from llm_studio.modeling.loading import load_model, quiet
from llm_studio.tokens.template import Template
from tests.support.tiny import config_of, model_of, rows_of
from tests.support.tuned import make_backbone

WORDS = ("red kite ", "blue cup in Oslo ", "x ", "seven green mugs ")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def template(backbone: Path) -> Template:
    return rows_of(config_of(backbone))[0]


@pytest.fixture(scope="module")
def questions(template: Template) -> list[Question]:
    rows = [
        Conversation(
            row,
            (
                Message("user", "Say " + WORDS[row % 4] * (1 + 3 * (row % 5))),
                Message("assistant", WORDS[(row + 1) % 4] * (1 + row % 3), True),
            ),
        )
        for row in range(9)
    ]
    return make_questions(template, rows, template.for_scoring().encode_many(rows))


def counted(model: Any) -> list[int]:
    """Tokens of each forward of more than one token a row."""
    seen: list[int] = []
    model.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: seen.append(given[0].numel()) if given[0].shape[1] > 1 else None
    )
    return seen


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("generated", [4, 9])
@pytest.mark.parametrize("least", [1, 1024])
def test_nats_and_answers_are_those_of_two_readings(
    backbone: Path,
    template: Template,
    questions: list[Question],
    monkeypatch: pytest.MonkeyPatch,
    adapter: bool,
    generated: int,
    least: int,
) -> None:
    monkeypatch.setattr(prefill, "LEAST_TOKENS", least)
    changes = {"prediction.max_length_inference": 8, "prediction.max_generated_rows": generated}
    config = config_of(backbone, **changes)
    model = model_of(config) if adapter else load_model(config, device="cpu")[0]
    model.eval()
    prompts = [question.prompt for question in questions[:generated]]
    expected = generate(model, template, prompts, config)
    likelihoods = log_likelihoods(model, template, questions)
    seen = counted(model)
    found = score_rows(model, template, questions, config)
    assert [one.output for one in found] == [*expected, *[None] * (9 - generated)]
    assert [one.nll_nats for one in found] == pytest.approx([answer for answer, _ in likelihoods], abs=1e-4)
    assert [one.loss_nats for one in found] == pytest.approx([learned for _, learned in likelihoods], abs=1e-4)
    if least == 1:
        tokens = sum(len(question.sample.input_ids) for question in questions)
        assert sum(seen) < 1.5 * tokens, "every row is read once, with little padding"


def test_learned_prompts_count_too(backbone: Path) -> None:
    config = config_of(
        backbone,
        **{
            "dataset.mask_prompt_labels": False,
            "prediction.max_generated_rows": 3,
            "prediction.max_length_inference": 3,
        },
    )
    template, samples = rows_of(config, 6)
    made = [Question(one, tuple(one.input_ids[: 4 + one.row]), "", "") for one in samples]
    model = load_model(config, device="cpu")[0].eval()
    found = score_rows(model, template, made, config)
    expected = log_likelihoods(model, template, made)
    assert [one.loss_nats for one in found] == pytest.approx([learned for _, learned in expected], abs=1e-4)
    assert all(one.loss_nats > one.nll_nats for one in found)


@pytest.mark.parametrize("changes", [{"prediction.num_beams": 2}, {"prediction.max_length_inference": 250}])
def test_beams_and_cut_prompts_are_read_as_before(
    backbone: Path, template: Template, questions: list[Question], changes: dict[str, Any]
) -> None:
    config = config_of(backbone, **{"prediction.max_length_inference": 4, "prediction.max_generated_rows": 2} | changes)
    model = load_model(config, device="cpu")[0].eval()
    expected = generate(model, template, [one.prompt for one in questions[:2]], config)
    found = score_rows(model, template, questions, config)
    assert [one.output for one in found[:2]] == expected
    assert [one.nll_nats for one in found] == pytest.approx(
        [answer for answer, _ in log_likelihoods(model, template, questions)], abs=1e-4
    )


def test_logits_in_memory_stay_bounded(
    backbone: Path, template: Template, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(backbone, **{"prediction.max_length_inference": 2, "prediction.max_generated_rows": 9})
    model = load_model(config, device="cpu")[0].eval()
    vocabulary = model.config.vocab_size
    monkeypatch.setattr(reading_once, "LOGIT_ELEMENTS", {"cpu": 100 * vocabulary})
    seen: list[int] = []
    model.lm_head.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[0] * given[0].shape[1]))
    score_rows(model, template, questions, config)
    assert len(seen) > 4 and max(seen) <= 100
