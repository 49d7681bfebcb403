"""Which layers are trained in full beside an adapter, and which are not trained at all, by texts in their names."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from llm_studio.errors import UserError


def layers_named(model: Any, texts: Sequence[str], *, where: str) -> list[str]:
    """Names of the layers with weights of their own whose name contains one of the texts; "head" is the output head.

    Raises:
        UserError: a text is part of no name, or a layer is quantised and cannot be trained.
    """
    layers = {name: layer for name, layer in model.named_modules() if list(layer.parameters(recurse=False))}
    need_each(texts, layers, where=where, what="layer of the backbone")
    found = [name for name in layers if any(text in name for text in texts)]
    for name in found:
        if any(not weight.is_floating_point() for weight in layers[name].parameters(recurse=False)):
            raise UserError(
                f"Layer {name} is quantised and cannot be trained in full.",
                where=where,
                fix="Choose bfloat16 or float32 as number type, or leave this layer to the adapter.",
            )
    return found


def freeze(model: Any, texts: Sequence[str]) -> None:
    """Take the weights whose name contains one of the texts out of the training.

    Raises:
        UserError: a text is part of no name, or nothing is left to train.
    """
    where = "training.freeze_layers"
    weights: dict[str, torch.nn.Parameter] = dict(model.named_parameters())
    need_each(texts, weights, where=where, what="weight of the backbone")
    for name, weight in weights.items():
        if any(text in name for text in texts):
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in weights.values()):
        raise UserError("All layers are frozen: nothing is left to train.", where=where, fix="Name fewer layers.")


def need_each(wanted: Sequence[str], names: Iterable[str], *, where: str, what: str) -> None:
    """Refuse texts that are part of no name.

    Raises:
        UserError: with the nearest parts of names there are.
    """
    known = list(names)
    parts = sorted({part for name in known for part in name.split(".") if not part.isdigit()})
    for text in wanted:
        if not any(text in name for name in known):
            near = difflib.get_close_matches(text, parts, n=3, cutoff=0.4)
            raise UserError(
                f"No {what} has {text!r} in its name.",
                where=where,
                fix=f"Did you mean {' or '.join(near)}?" if near else f"Parts of names are: {', '.join(parts[:20])}.",
            )
