"""The learning rate over the steps of a training, by the names of the settings."""

import math
from collections.abc import Callable

DECAY_SHARE = 0.2
"""Share of the steps in which "WarmupStableDecay" falls, at the end (Hu et al. 2024, arXiv:2404.06395)."""


def rate_factor(schedule: str, *, steps: int, warmup_steps: int, floor: float) -> Callable[[int], float]:
    """Factor of the peak learning rate at an optimiser step (0-based), in [0, 1].

    A linear rise over `warmup_steps`, then the curve of the schedule down to `floor` at `steps`.
    """
    shape = SHAPES[schedule]

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
        height = shape(done)
        return height if schedule == "Constant" else floor + (1.0 - floor) * height

    return factor


def cosine(done: float) -> float:
    """Half a cosine; done: share of the way behind, in [0, 1]."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def linear(done: float) -> float:
    """A straight line."""
    return 1.0 - done


def constant(done: float) -> float:
    """No fall."""
    return 1.0


def stable_then_down(done: float) -> float:
    """Constant, then a straight line over the last DECAY_SHARE."""
    return min(1.0, (1.0 - done) / DECAY_SHARE)


SHAPES: dict[str, Callable[[float], float]] = {
    "Cosine": cosine,
    "Linear": linear,
    "Constant": constant,
    "WarmupStableDecay": stable_then_down,
}
