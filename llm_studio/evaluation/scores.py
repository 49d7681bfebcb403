"""Computes all metrics of the catalog from predictions, and decides which of two evaluations is better."""

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from llm_studio.catalog.metrics import METRICS, metric
from llm_studio.evaluation.types import Prediction, Score


def all_scores(predictions: Sequence[Prediction]) -> dict[str, Score]:
    """Every metric by name."""
    scores: dict[str, Score] = {}
    for entry in METRICS:
        module, name = entry.function.split(":")
        function: Callable[[Sequence[Prediction]], Score] = getattr(import_module(module), name)
        scores[entry.name] = function(predictions)
    return scores


def mean_of_rows(score: Score) -> float | None:
    """Mean of the per-row values; None when there is none."""
    known = [value for value in score.per_row if value is not None]
    return sum(known) / len(known) if known else None


def is_better(new: Mapping[str, float | None], old: Mapping[str, float | None] | None, name: str) -> bool:
    """Whether `new` beats `old` by a metric; a missing or not finite value never wins."""
    value = new.get(name)
    if value is None or not math.isfinite(value):
        return False
    best = None if old is None else old.get(name)
    if best is None or not math.isfinite(best):
        return True
    return value > best if metric(name).higher_is_better else value < best
