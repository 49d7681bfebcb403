"""The time of an evaluation from a small part of it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled
from llm_studio.evaluation.scoring import Question, make_questions
from llm_studio.modeling.generation import answer_batches, generate
from llm_studio.modeling.loading import load_model
from llm_studio.tokens.template import Template
from llm_studio.worker.preflight_scoring import (
    Pace,
    answers_end,
    seconds_of_answers,
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


def test_answers_come_in_the_batches_that_generation_makes(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(backbone, **{"prediction.max_length_inference": 2})
    template, _ = rows_of(config)
    model, _ = load_model(config, device="cpu")
    asked = [question.prompt for question in questions_of(template)] * 20
    made: list[int] = []
    generate(model, template, asked, config, report=made.append)
    lengths = [len(prompt) for prompt in asked]
    batches = answer_batches(model, lengths, [256] * len(asked), config)
    sizes = [made[0], *(after - before for before, after in pairwise(made))]
    assert [len(batch) for batch in batches] == sizes
    assert sorted(row for batch in batches for row in batch) == [*range(len(asked))]
    few = make_config({"prediction.batch_size_inference": 3})
    assert [len(batch) for batch in answer_batches(model, [5] * 7, [9] * 7, few)] == [3, 3, 1]


def test_a_batch_takes_its_steps_up_to_the_longest_answer_or_the_limit_and_less_for_rows_that_have_ended() -> None:
    pace = Pace(prefill=0.01, step=0.1, rows=2)
    assert seconds_of_answers([[0, 1]], [10, 10], [7, 7], 256, pace) == pytest.approx(0.2 + 0.1 * 8)
    assert seconds_of_answers([[0, 1]], [10, 10], [3, 7], 256, pace) == pytest.approx(0.2 + 0.1 * (4 + 4 * 0.75))
    assert seconds_of_answers([[0, 1]], [10, 10], [900, 700], 20, pace) == pytest.approx(0.2 + 0.1 * 20)
    assert seconds_of_answers([[0, 1], [2]], [1, 1, 1], [4, 4, 4], 9, pace) == pytest.approx(0.03 + 0.5 + 0.5 * 0.75)


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
