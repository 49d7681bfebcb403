"""The training objective on rows that are not learned."""

from collections.abc import Sequence

from llm_studio.evaluation.types import Prediction, Score


def validation_loss(predictions: Sequence[Prediction]) -> Score:
    """Mean cross-entropy per learned token of the corpus, in nats, >= 0."""
    tokens = sum(prediction.loss_tokens for prediction in predictions)
    nats = sum(prediction.loss_nats for prediction in predictions)
    per_row = tuple(one.loss_nats / one.loss_tokens if one.loss_tokens else None for one in predictions)
    return Score(nats / tokens if tokens else None, per_row=per_row)
