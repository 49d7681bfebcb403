"""Evaluations stay a tenth of the training unless the user sets another number of answers; the choice is told."""

import pytest

from llm_studio.config import make_config
from llm_studio.config.generated_rows import LADDER, LEAST_SECONDS, Costs, generated_rows, generated_words

HOUR = Costs(training_seconds=3_600.0, evaluations=6, likelihood_seconds=10.0, answer_seconds=0.4)


def chosen(costs: Costs, rows: int = 1_000, wanted: int = 0) -> int:
    return generated_rows(make_config({"prediction.max_generated_rows": wanted}), rows, costs)


def test_takes_the_most_answers_that_keep_evaluations_a_tenth_of_the_training() -> None:
    assert chosen(HOUR) == 100
    assert HOUR.scoring_seconds(100) <= 360 < HOUR.scoring_seconds(200)
    assert chosen(Costs(36_000.0, 6, 10.0, 0.4)) == LADDER[-1]
    assert chosen(Costs(3_600.0, 6, 10.0, 0.9)) == 50


def test_slow_answers_and_many_evaluations_leave_the_fewest() -> None:
    assert chosen(Costs(3_600.0, 6, 10.0, 40.0)) == LADDER[0]
    assert chosen(Costs(3_600.0, 600, 10.0, 0.4)) == LADDER[0]


def test_a_short_training_is_not_left_without_answers() -> None:
    short = Costs(training_seconds=20.0, evaluations=5, likelihood_seconds=0.3, answer_seconds=0.01)
    assert short.scoring_seconds(100) < LEAST_SECONDS
    assert chosen(short) == 100


@pytest.mark.parametrize(("rows", "wanted", "expected"), [(1_000, 7, 7), (1_000, 900, 900), (60, 900, 60), (0, 0, 0)])
def test_what_is_set_is_taken_as_far_as_there_are_rows(rows: int, wanted: int, expected: int) -> None:
    assert chosen(HOUR, rows, wanted) == expected


def test_never_more_than_there_are_rows_to_answer() -> None:
    assert [chosen(HOUR, rows) for rows in (5, 20, 70)] == [5, 20, 70]


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_little_faster_or_slower_machine_chooses_the_same(factor: float) -> None:
    other = Costs(HOUR.training_seconds * factor, HOUR.evaluations, HOUR.likelihood_seconds, HOUR.answer_seconds)
    assert chosen(other) == chosen(HOUR)


def test_the_sentence_tells_how_many_and_what_they_cost() -> None:
    told = generated_words(100, 240, chosen=True, costs=HOUR)
    assert told == (
        "The first 100 of 240 validation rows get a generated answer at each evaluation, always the same ones: so "
        "evaluations take about 8 % of the training."
    )
    assert generated_words(30, 30, chosen=False, costs=HOUR) == (
        "All 30 validation rows get a generated answer at each evaluation, always the same ones, as set."
    )
    assert generated_words(30, 30, chosen=True, costs=None).endswith("always the same ones, as before.")
    slow = generated_words(20, 240, chosen=True, costs=Costs(100.0, 6, 10.0, 4.0))
    assert "still take about 540 % of the training: evaluate less often" in slow
    short = generated_words(100, 240, chosen=True, costs=Costs(20.0, 5, 0.3, 0.01))
    assert short.endswith("so evaluations take about 6 s in all.")
