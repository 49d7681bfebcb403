"""Which layers are trained in full beside an adapter, and which are not trained at all, by texts in their names."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from peft.utils.other import ModulesToSaveWrapper

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


def fit_in(model: Any) -> None:
    """Let layers that are trained in full, in 32 bits, take and give what a backbone in 16 bits computes in.

    Without it the next layer would refuse what they give wherever there is no autocast, as in scoring. The output head
    has no next layer, and its logits stay as they are.
    """
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            dtype = next(module.original_module.parameters()).dtype
            if dtype in (torch.bfloat16, torch.float16):
                trained = module.modules_to_save[module.active_adapters[0]]
                trained.register_forward_pre_hook(_takes_32_bits)
                if module is not model.get_output_embeddings():
                    trained.register_forward_hook(lambda layer, inputs, output, dtype=dtype: output.to(dtype))


def _takes_32_bits(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one.float() if isinstance(one, torch.Tensor) and one.is_floating_point() else one for one in inputs)


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
