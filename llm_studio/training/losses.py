"""What a learned token weighs in the loss of its optimiser step, and the loss as the sum of weighted nats.

Written so, the loss of a step is the same however its rows are split into micro-batches, packs and processes.
"""

from collections.abc import Sequence
from importlib import import_module

import torch

from llm_studio.catalog.losses import LOSSES


def token_weights(loss: str, learned: Sequence[int]) -> list[float]:
    """Weight of each learned token of a row, by row; learned: tokens to learn in each row of the whole step."""
    function = {entry.name: entry.weights for entry in LOSSES}[loss]
    module, _, name = function.partition(":")
    weights: list[float] = getattr(import_module(module), name)(learned)
    return weights


def token_averaged(learned: Sequence[int]) -> list[float]:
    """Every learned token of the step weighs the same."""
    tokens = sum(learned)
    return [1.0 / tokens if tokens else 0.0] * len(learned)


def sample_averaged(learned: Sequence[int]) -> list[float]:
    """Every row with something to learn weighs the same, however long its answer is."""
    rows = sum(count > 0 for count in learned)
    return [1.0 / (rows * count) if count else 0.0 for count in learned]


def weighted_nats(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum of weight x negative log-likelihood in nats, in float32.

    logits: [B, K, V]. targets: [B, K] token ids. weights: [B, K], 0 where nothing is learned.
    """
    nats = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (nats * weights.flatten()).sum()
