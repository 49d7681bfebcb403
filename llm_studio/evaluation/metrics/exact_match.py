"""How many generated answers are exactly right."""

from collections.abc import Sequence

from llm_studio.evaluation.types import Prediction, Score


def exact_match(predictions: Sequence[Prediction]) -> Score:
    """Share of outputs equal to the target after stripping outer white space, in [0, 1].

    Source: Rajpurkar et al. 2016, arXiv:1606.05250, without lower-casing, so that it stays
    meaningful for code and JSON.
    """
    per_row = tuple(
        None if one.output is None else float(one.output.strip() == one.target.strip()) for one in predictions
    )
    known = [value for value in per_row if value is not None]
    return Score(sum(known) / len(known) if known else None, per_row=per_row)
