"""A file of weights that is laid over those of a backbone, as of a training elsewhere that kept nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file

from llm_studio.errors import UserError
from llm_studio.modeling.further_file import SETTING

TAKEN = "_studio_further_weights"
"""Where a model keeps the sentence that says what was taken."""
PREFIXES = ("module.", "backbone.", "_orig_mod.", "base_model.model.")
WITHIN = ("state_dict", "model", "module")
"""Where training programs put the weights into the dictionary that they save."""
COMPUTED = (".inv_freq", ".masked_bias", ".attn.bias")
"""Ends of names that older programs saved with the weights, and that follow from a backbone's config."""
NAMED = 3
"""So many names are told of those that do not fit."""


def lay_over(model: Any, path: Path) -> None:
    """Put the file's weights in place of the model's; the others stay. Says in the model's `TAKEN` what was done.

    Raises:
        UserError: the file cannot be read, or holds a weight that has no place in the model; nothing is changed then.
    """
    there = model.state_dict()
    found: dict[str, torch.Tensor] = {}
    unknown, misshapen = [], []
    for name, weight in read(path).items():
        if name.endswith(COMPUTED):
            continue
        place = next((one for one in names_for(name) if one in there), None)
        if place is None:
            unknown.append(name)
        elif not weight.is_floating_point():
            misshapen.append(f"{name} is of whole numbers ({str(weight.dtype).removeprefix('torch.')})")
        elif there[place].shape != weight.shape:
            misshapen.append(f"{name} is {shape(weight)} here and {shape(there[place])} in the backbone")
        else:
            found[place] = weight
    if unknown or misshapen or not found:
        raise _does_not_fit(path, unknown, misshapen)
    with torch.no_grad():
        for place, weight in found.items():
            there[place].copy_(weight)
    setattr(model, TAKEN, f"{len(found):,} of {len(there):,} tensors of the backbone come from {path.name}.")


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name. Nothing in it is run: pickled files are read with `weights_only`.

    Raises:
        UserError: it is damaged, of another kind, or holds more than weights.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        whole = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except Exception as error:  # a file from elsewhere can break its reader in any way
        raise UserError(
            f"{path.name} cannot be read as weights: {str(error).strip().splitlines()[0][:200]}",
            where=SETTING,
            fix="Take a .safetensors file, or one that torch.save wrote and that holds weights alone.",
        ) from error
    inner = whole
    if isinstance(whole, Mapping):
        inner = next((whole[key] for key in WITHIN if isinstance(whole.get(key), Mapping)), whole)
    if isinstance(inner, Mapping):
        return {str(name): weight for name, weight in inner.items() if isinstance(weight, torch.Tensor)}
    raise UserError(f"{path.name} holds no named weights.", where=SETTING, fix="Save the model's state_dict.")


def names_for(name: str) -> list[str]:
    """The name, and what it is without what training programs put before it."""
    found = [name]
    while prefix := next((one for one in PREFIXES if found[-1].startswith(one)), ""):
        found.append(found[-1].removeprefix(prefix))
    return [*found, f"model.{found[-1]}", found[-1].removeprefix("model.")]


def shape(tensor: torch.Tensor) -> str:
    """ "64 x 128"."""
    return " x ".join(str(size) for size in tensor.shape) or "one number"


def _does_not_fit(path: Path, unknown: list[str], misshapen: list[str]) -> UserError:
    parts = []
    if unknown:
        names = ", ".join(unknown[:NAMED])
        parts.append(f"{len(unknown)} of its weights have no place in the backbone, such as {names}")
    if misshapen:
        parts.append(f"{len(misshapen)} have another shape or type: {'; '.join(misshapen[:NAMED])}")
    return UserError(
        f"{path.name} does not fit the backbone: {'; '.join(parts) or 'it holds no weights'}.",
        where=SETTING,
        fix="Take a file of weights of this very backbone; an adapter is merged into its backbone first.",
    )
