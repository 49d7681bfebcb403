"""How surprised the model is by the right answers."""

import math
from collections.abc import Sequence

from llm_studio.evaluation.types import Prediction, Score

LARGEST_EXPONENT = 700.0


def perplexity(predictions: Sequence[Prediction]) -> Score:
    """exp(mean negative log-likelihood per answer token of the corpus), >= 1; per row the same over its own tokens.

    Source: Jelinek et al. 1977, doi:10.1121/1.2016299.
    """
    nats = sum(prediction.nll_nats for prediction in predictions)
    tokens = sum(prediction.answer_tokens for prediction in predictions)
    per_row = tuple(_exp(one.nll_nats, one.answer_tokens) for one in predictions)
    return Score(_exp(nats, tokens), per_row=per_row)


def _exp(nats: float, tokens: int) -> float | None:
    if tokens == 0 or not math.isfinite(nats):
        return None
    return math.exp(min(nats / tokens, LARGEST_EXPONENT))
