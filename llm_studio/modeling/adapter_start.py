"""What an adapter starts from: zero effect, the main directions of the weights (PiSSA), or what 4 bits lost (LoftQ).

PiSSA (Meng et al. 2024, arXiv:2404.02948) takes its first A and B out of the backbone's weights. What is saved is a
plain adapter for the untouched backbone all the same: trained minus first, which is one of twice the rank.
LoftQ (Li et al. 2023, arXiv:2310.08659) in one step: the weights in 4 bits stay as they are, and the adapter begins as
the best approximation of what they lost. PEFT's own needs CUDA.
"""

import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.other import transpose
from safetensors.torch import save_file

from llm_studio.errors import UserError

PISSA = "pissa_niter_16"
FIRST = "_studio_first_weights"
WEIGHTS_FILE = "adapter_model.safetensors"


def start_adapter(model: Any, kind: str, folder: Path | None) -> None:
    """Bring a new adapter to its start; kind: "default", "pissa" or "loftq". folder: of the backbone's files.

    Raises:
        UserError: LoftQ without 4-bit layers, or without files to read the weights from; a start by directions of
            weights that has too few of them, or whose weights are those of the embeddings.
    """
    if kind != "default":
        _check_directions(model, kind)
    if kind == "pissa":
        first = {name: weight.detach().clone() for name, weight in model.named_parameters() if _is_lora(name)}
        setattr(model, FIRST, first)
    elif kind == "loftq":
        layers = [
            (name, one)
            for name, one in model.named_modules()
            if type(one).__name__ == "Linear4bit" and hasattr(one, "lora_A")
        ]
        files = _weights_by_name(folder)
        for name, layer in layers:
            key = f"{name.removeprefix('base_model.model.')}.weight"
            if key not in files:
                raise _no_loftq(f"there is no {key} in the backbone's safetensors files")
            _start_from_lost(layer, files[key], key)
        if not layers:
            raise _no_loftq("the backbone has no layers in 4 bits")


def _check_directions(model: Any, kind: str) -> None:
    """Refuse what would be saved as an adapter that does not fit, or would change the embeddings with a head."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
    most = {name: min(layer.in_features, layer.out_features) for name, layer in layers.items()}
    for name, layer in layers.items():
        short = name.removeprefix("base_model.model.")
        if layer.r["default"] > most[name]:
            raise UserError(
                f"A rank of {layer.r['default']} is more than {short} has directions to start from ({most[name]}).",
                where="training.lora_r",
                fix=f"Set it to {min(most.values())} or less, or take the default start of the adapter.",
            )
        if kind == "pissa" and layer.get_base_layer().weight is model.get_input_embeddings().weight:
            raise UserError(
                f"PiSSA cannot start on {short}, whose weights are the embeddings.",
                where="training.lora_target_modules",
                fix="Leave it out, or take the default start of the adapter.",
            )


def _start_from_lost(layer: Any, file: Path, key: str) -> None:
    """Set A and B of a layer to the main directions of what quantising took from its weight."""
    import bitsandbytes
    from safetensors import safe_open

    quantised, name = layer.base_layer.weight, layer.active_adapter[0]
    with safe_open(file, "pt") as opened:
        weight = opened.get_tensor(key).to(device=quantised.device, dtype=torch.float32)
    lost = weight - bitsandbytes.functional.dequantize_4bit(quantised.data, quantised.quant_state).float()
    left, sizes, right = torch.svd_lowrank(lost, q=layer.r[name], niter=16)
    root = (sizes / layer.scaling[name]).sqrt()
    with torch.no_grad():
        layer.lora_B[name].weight.copy_(left * root)
        layer.lora_A[name].weight.copy_((right * root).T)
    if name in layer.lora_magnitude_vector:  # DoRA's sizes are those of the weights that it begins with
        layer.lora_variant[name].init(layer, name)


def _weights_by_name(folder: Path | None) -> dict[str, Path]:
    """The file of each weight of a backbone."""
    from safetensors import safe_open

    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")) if folder is not None else ():
        with safe_open(file, "pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    return found


def _no_loftq(reason: str) -> UserError:
    return UserError(
        f"LoftQ cannot start this adapter: {reason}.",
        where="training.init_lora_weights",
        fix='It needs a backbone in int4 whose weights lie in safetensors files; else choose "default".',
    )


def save_model(model: Any, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write the tuned model: its adapter, or all of its weights. weights: of a model that is split over processes."""
    given: dict[str, Any] = {} if weights is None else {"state_dict": weights}
    if isinstance(model, PeftModel):
        given["save_embedding_layers"] = False  # PEFT would add whole embeddings that have grown: their rows are enough
    model.save_pretrained(str(folder), **given)
    first: dict[str, torch.Tensor] | None = getattr(model, FIRST, None)
    if first is not None:
        _save_difference(model, first, folder, weights)


def _save_difference(model: Any, first: dict[str, torch.Tensor], folder: Path, weights: Any) -> None:
    """The adapter as trained minus first: A and -B of the first are put behind those of the trained one."""
    config = next(iter(model.peft_config.values()))
    kept = {name.replace(".default.", "."): weight for name, weight in first.items()}
    made = {}
    for name, weight in get_peft_model_state_dict(model, weights, save_embedding_layers=False).items():
        before = kept.get(name)
        if before is None:
            made[name] = weight.contiguous().clone()  # embeddings and head may be the same
        else:
            wide = [weight, before.to(weight)] if "lora_A" in name else [weight, -before.to(weight)]
            made[name] = torch.cat(wide, 0 if "lora_A" in name else 1).contiguous()
    save_file(made, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    rank, alpha, start = config.r, config.lora_alpha, config.init_lora_weights
    config.r, config.init_lora_weights = 2 * rank, True
    config.lora_alpha = alpha * math.sqrt(2) if config.use_rslora else 2 * alpha
    config.inference_mode = True
    config.save_pretrained(str(folder))
    config.r, config.lora_alpha, config.init_lora_weights, config.inference_mode = rank, alpha, start, False


def take_out_first(model: Any, saved: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a model with a plain new adapter back to where PiSSA was saved: the first A and B, which stand behind the
    trained ones in `saved`, are taken out of the backbone's weights. Gives the trained ones.

    An adapter that holds no first ones, since it never began as PiSSA, is given back as it is.
    """
    found, first = dict(saved), {}
    for name, weight in model.named_parameters():
        if "lora_A.default" not in name:
            continue
        place, other, rank = name.partition(".lora_A.")[0], name.replace("lora_A", "lora_B"), len(weight)
        down, up = saved.get(f"{place}.lora_A.weight"), saved.get(f"{place}.lora_B.weight")
        if down is None or up is None or len(down) != 2 * rank:
            return saved
        found[f"{place}.lora_A.weight"], found[f"{place}.lora_B.weight"] = down[:rank], up[:, :rank]
        first[name], first[other] = down[rank:].to(weight), -up[:, rank:].to(weight)
        layer = model.get_submodule(place)
        taken = layer.scaling["default"] * first[other] @ first[name]
        base = layer.get_base_layer().weight
        base.data = (base.data.float() - transpose(taken, layer.fan_in_fan_out)).to(base.dtype)
    setattr(model, FIRST, first)
    return found


def _is_lora(name: str) -> bool:
    return "lora_A" in name or "lora_B" in name
