"""Metrics against sacrebleu and the plain formulas."""

import math
from dataclasses import replace
from importlib import import_module

import pytest
import sacrebleu

from llm_studio.catalog.metrics import METRICS, Metric
from llm_studio.evaluation.metrics.bleu import bleu
from llm_studio.evaluation.metrics.exact_match import exact_match
from llm_studio.evaluation.metrics.judge import judge
from llm_studio.evaluation.metrics.perplexity import perplexity
from llm_studio.evaluation.metrics.validation_loss import validation_loss
from llm_studio.evaluation.scores import all_scores, is_better, mean_of_rows
from llm_studio.evaluation.types import Prediction

TARGETS = ("the cat sat on the mat", "a dog", "seven red kites fly over Oslo")
OUTPUTS = ("the cat sat on a mat", "a dog", "seven kites")


def prediction(output: str | None, target: str, nats: float = 2.0, tokens: int = 4, row: int = 0) -> Prediction:
    return Prediction(row, "?", target, output, nats, tokens, nats, tokens)


def graded(one: Prediction, value: float | None) -> Prediction:
    return replace(one, judged=value)


ROWS = [prediction(o, t, nats, n) for o, t, nats, n in zip(OUTPUTS, TARGETS, (1.0, 9.0, 3.5), (6, 2, 7), strict=True)]


def test_bleu_is_sacrebleus_corpus_score_with_its_signature() -> None:
    score = bleu(ROWS)
    assert score.value == pytest.approx(sacrebleu.corpus_bleu(list(OUTPUTS), [list(TARGETS)]).score)
    assert "tok:13a" in score.signature
    assert score.per_row[0] == pytest.approx(sacrebleu.sentence_bleu(OUTPUTS[0], [TARGETS[0]]).score)


def test_perplexity_is_the_exponential_of_the_mean_nats_per_token_of_the_corpus_not_the_mean_of_rows() -> None:
    score = perplexity(ROWS)
    assert score.value == pytest.approx(math.exp(13.5 / 15))
    assert mean_of_rows(score) == pytest.approx((math.exp(1 / 6) + math.exp(4.5) + math.exp(0.5)) / 3)


def test_validation_loss_is_the_mean_per_learned_token() -> None:
    assert validation_loss(ROWS).value == pytest.approx(13.5 / 15)


def test_exact_match_ignores_outer_white_space_only() -> None:
    rows = [prediction(" yes\n", "yes"), prediction("Yes", "yes"), prediction(None, "yes"), prediction("no", "yes")]
    assert exact_match(rows).value == pytest.approx(1 / 3)
    assert exact_match(rows).per_row == (1.0, 0.0, None, 0.0)


def test_rows_that_were_not_generated_do_not_count_for_generated_metrics() -> None:
    rows = [*ROWS, prediction(None, "a mat")]
    assert bleu(rows).value == bleu(ROWS).value
    assert bleu([rows[-1]]).value is None


def test_a_grade_that_is_missing_is_not_a_zero_and_few_grades_are_no_score() -> None:
    answered = [prediction("yes", "yes")] * 4
    rows = [graded(one, value) for one, value in zip(answered, (1.0, 0.5, 0.0, None), strict=True)]
    assert judge([*rows, prediction(None, "yes")]).value == pytest.approx(0.5)
    assert judge(rows).per_row == (1.0, 0.5, 0.0, None)
    assert judge([*rows[2:], *rows[2:]]).value == 0.0  # half of them
    assert judge([rows[0], rows[3], rows[3]]).value is None


def test_no_row_and_not_a_number_give_no_value_instead_of_a_wrong_one() -> None:
    for score in all_scores([]).values():
        assert score.value is None
    assert perplexity([prediction("x", "x", math.nan)]).value is None
    assert perplexity([prediction("x", "x", 1e9)]).value is not None


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_prefers_a_right_answer_to_a_wrong_one(metric: Metric) -> None:
    module, name = metric.function.split(":")
    function = getattr(import_module(module), name)
    right = function([graded(prediction("a red kite over Oslo", "a red kite over Oslo", nats=0.1), 0.9)]).value
    wrong = function([graded(prediction("something else now", "a red kite over Oslo", nats=20.0), 0.1)]).value
    assert is_better({metric.name: right}, {metric.name: wrong}, metric.name)
    assert not is_better({metric.name: wrong}, {metric.name: right}, metric.name)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_missing_or_not_finite_value_never_wins(metric: Metric) -> None:
    for bad in (None, math.nan, math.inf, -math.inf):
        assert not is_better({metric.name: bad}, None, metric.name)
        assert not is_better({metric.name: bad}, {metric.name: 1.0}, metric.name)
        assert is_better({metric.name: 1.0}, {metric.name: bad}, metric.name)
