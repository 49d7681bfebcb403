"""What a judge model thinks of the generated answers."""

from collections.abc import Sequence

from llm_studio.evaluation.types import Prediction, Score

LEAST_SHARE = 0.5
"""Of the answers must have a grade: a mean over the few rows that happened to get one is no score of the model."""


def judge(predictions: Sequence[Prediction]) -> Score:
    """Mean grade of the judged answers, in [0, 1]; rows whose call failed are left out, never counted as 0. No value
    where fewer than half of the answers were judged."""
    per_row = tuple(one.judged for one in predictions)
    known = [value for value in per_row if value is not None]
    answered = sum(one.output is not None for one in predictions)
    enough = bool(known) and len(known) >= LEAST_SHARE * answered
    return Score(sum(known) / len(known) if enough else None, per_row=per_row)
