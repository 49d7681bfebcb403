"""Gradient checkpointing: activations are computed again in the backward pass instead of kept (arXiv:1604.06174)."""

import warnings
from typing import Any


def recomputes(model: Any) -> bool:
    """Whether any layer does so."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def recompute(model: Any) -> bool:
    """Let all layers do so; False when the backbone cannot, or does so already.

    torch's way without re-entering, which takes the same random numbers again, so that results stay the same.
    """
    if recomputes(model) or not getattr(model, "supports_gradient_checkpointing", False):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its new name is not in transformers 5.17
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return recomputes(model)
