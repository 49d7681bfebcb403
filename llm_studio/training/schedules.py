"""Learning rate and optimiser by the names of the settings."""

import math
from collections.abc import Callable
from typing import Any

import torch

from llm_studio.config.training import Training

NO_DECAY = ("bias", "norm")


def rate_factor(schedule: str, *, steps: int, warmup_steps: int, floor: float) -> Callable[[int], float]:
    """Factor of the peak learning rate at an optimiser step (0-based), in [0, 1].

    A linear rise over `warmup_steps`, then constant, linear or cosine down to `floor` at `steps`.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if schedule == "Constant":
            return 1.0
        done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
        shape = 1.0 - done if schedule == "Linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return floor + (1.0 - floor) * shape

    return factor


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of trained weights: matrices with weight decay; norms, biases and other vectors without."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    plain = [weight for name, weight in trained if weight.ndim < 2 or any(part in name.lower() for part in NO_DECAY)]
    ids = {id(weight) for weight in plain}
    decayed = [weight for _, weight in trained if id(weight) not in ids]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def make_optimizer(model: Any, training: Training) -> torch.optim.Optimizer:
    """The optimiser of the settings, with PyTorch's own defaults for what has no setting."""
    groups = parameter_groups(model, training.weight_decay)
    rate = training.learning_rate
    match training.optimizer:
        case "AdamW8bit":
            from bitsandbytes.optim import AdamW8bit

            made: torch.optim.Optimizer = AdamW8bit(groups, lr=rate)
            return made
        case "Adam":
            return torch.optim.Adam(groups, lr=rate)
        case "SGD":
            return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
        case "RMSprop":
            return torch.optim.RMSprop(groups, lr=rate, momentum=0.9)
        case "Adadelta":
            return torch.optim.Adadelta(groups, lr=rate)
        case _:
            return torch.optim.AdamW(groups, lr=rate, fused=True)
