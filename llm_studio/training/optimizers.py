"""The optimiser of the settings, and which of the trained weights get which decay and learning rate."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from llm_studio.catalog.optimizers import optimizer
from llm_studio.config.training import Training
from llm_studio.modeling.layers import need_each

NO_DECAY = ("bias", "norm")
TABLES = ("embed", "lm_head", "wte")


def make_optimizer(model: Any, training: Training) -> torch.optim.Optimizer:
    """The optimiser of the settings on all trained weights, with its library's defaults for what has no setting.

    Raises:
        UserError: a layer with a learning rate of its own does not exist or is not trained.
    """
    entry = optimizer(training.optimizer)
    module, _, name = entry.function.partition(":")
    kind: Callable[..., torch.optim.Optimizer] = getattr(import_module(module), name)
    return kind(parameter_groups(model, training), lr=training.learning_rate, **entry.arguments)


def parameter_groups(model: Any, training: Training) -> list[dict[str, Any]]:
    """Groups of trained weights: by learning rate; matrices with weight decay apart from norms, biases and other
    vectors without; tables of embeddings (`tables`) apart from both.

    Raises:
        UserError: as in `make_optimizer`.
    """
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    own = training.differential_learning_rate_layers
    need_each(
        own, (name for name, _ in trained), where="training.differential_learning_rate_layers", what="trained weight"
    )
    groups: dict[tuple[bool, bool, bool], dict[str, Any]] = {}
    for name, weight in trained:
        differs, decays, table = any(part in name for part in own), is_decayed(name, weight), is_table(name, weight)
        rate = training.differential_learning_rate if differs else training.learning_rate
        made = {"params": [], "lr": rate, "weight_decay": training.weight_decay if decays else 0.0, "tables": table}
        groups.setdefault((differs, table, not decays), made)["params"].append(weight)
    return [groups[key] for key in sorted(groups)]


def is_table(name: str, weight: torch.Tensor) -> bool:
    """Whether a weight holds one row for each token: embeddings, or the output head."""
    return weight.ndim == 2 and "lora" not in name and any(part in name for part in TABLES)


def is_decayed(name: str, weight: torch.Tensor) -> bool:
    """Whether weight decay applies: not to norms, biases and other vectors."""
    return weight.ndim >= 2 and not any(part in name.lower() for part in NO_DECAY)
