"""The time of an evaluation from a small part of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled
from llm_studio.evaluation.scoring import Question, make_questions
from llm_studio.modeling import decoding
from llm_studio.modeling.generation import answering_order, generate
from llm_studio.modeling.loading import load_model
from llm_studio.tokens.template import Template
from llm_studio.worker.preflight_scoring import (
    answers_end,
    steps_of_answers,
    target_tokens,
    time_scoring,
)
from tests.support.tiny import config_of, rows_of
from tests.support.tuned import make_backbone

ROWS = 10


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def questions_of(template: Template) -> list[Question]:
    said = [
        Conversation(row, (Message("user", f"Say {'so ' * row}"), Message("assistant", f"Word {row}.", True)))
        for row in range(ROWS)
    ]
    scoring = template.for_scoring()
    return make_questions(template, said, [scoring.encode(one) for one in said])


def test_a_batch_takes_its_steps_up_to_the_longest_answer_and_less_for_rows_that_have_ended() -> None:
    assert steps_of_answers([8, 8], 2, False, 2) == 8
    assert steps_of_answers([4, 8], 2, False, 2) == pytest.approx(4 + 4 * 0.75)
    assert steps_of_answers([5, 5, 5], 2, False, 2) == pytest.approx(5 + 5 * 0.75)


def test_rows_that_join_take_the_places_of_ended_ones() -> None:
    assert steps_of_answers([8, 4, 4], 2, True, 2) == pytest.approx(8)
    assert steps_of_answers([8, 4, 4], 2, False, 2) == pytest.approx(4 + 4 * 0.75 + 4 * 0.75)


@pytest.mark.parametrize("joining", [True, False])
def test_the_steps_told_are_those_that_generation_takes(
    backbone: Path, joining: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "JOIN_ON", {"cpu"} if joining else set())
    longest = 6 if joining else 4
    config = config_of(backbone, **{"prediction.max_length_inference": longest, "prediction.batch_size_inference": 4})
    template, _ = rows_of(config)
    model, _ = load_model(config, device="cpu")
    asked = [question.prompt for question in questions_of(template)]
    limits = [1 + row % longest for row in range(len(asked))]
    order = answering_order([len(prompt) for prompt in asked], [longest] * len(asked), longest)
    steps: list[int] = []
    reads: list[int] = []
    model.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: (steps if given[0].shape[1] == 1 else reads).append(len(given[0]))
    )
    generate(model, template, asked, config, limits=limits)
    told = 2 * steps_of_answers([limits[row] for row in order], 4, joining, full=10**9)
    if joining:  # the first token of rows that join is drawn as they are read
        assert told - len(reads) <= len(steps) <= told + 1e-6
    else:
        assert len(steps) + len(reads) == pytest.approx(told)


def test_an_untrained_backbone_answers_up_to_the_limit_before_and_after_tuning(backbone: Path) -> None:
    config = config_of(backbone, **{"prediction.max_length_inference": 120})
    template, _ = rows_of(config)
    model, _ = load_model(config, device="cpu")
    questions = questions_of(template)
    found = time_scoring(model, template, questions, config, should_stop=lambda: False)
    assert found.generated_rows == ROWS
    assert found.likelihood > 0
    assert found.answers == found.untouched_answers > 0
    targets = [target_tokens(template, one) for one in questions]
    assert not answers_end(model, template, questions, targets, config, lambda: False)


def test_the_starter_is_expected_to_answer_as_long_as_the_right_answers() -> None:
    config = config_of(Path("starter"), **{"prediction.max_length_inference": 400, "prediction.max_generated_rows": 6})
    template, _ = rows_of(config)
    model, _ = load_model(config, device="cpu")
    found = time_scoring(model, template, questions_of(template), config, should_stop=lambda: False)
    assert found.generated_rows == 6
    assert found.answers <= found.untouched_answers


def test_timing_stops_when_asked(backbone: Path) -> None:
    config: Any = config_of(backbone)
    template, _ = rows_of(config)
    model, _ = load_model(config, device="cpu")
    with pytest.raises(Cancelled):
        time_scoring(model, template, questions_of(template), config, should_stop=lambda: True)
