"""Makes a backbone trainable: a LoRA adapter on its linear layers, or all of its weights."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

from llm_studio.config import ExperimentConfig
from llm_studio.errors import UserError
from llm_studio.modeling.adapter_start import PISSA, start_adapter
from llm_studio.modeling.backbones import cached_snapshot
from llm_studio.modeling.layers import fit_in, freeze, layers_named
from llm_studio.modeling.loading import path_of
from llm_studio.modeling.marker_tokens import rows_to_learn
from llm_studio.tokens.markers import NewToken


@dataclass(frozen=True)
class Trainable:
    """A model with the number of weights that are trained, of all."""

    model: Any
    trained: int
    total: int


def make_trainable(
    model: Any, config: ExperimentConfig, *, quantised: bool, new_tokens: Sequence[NewToken] = ()
) -> Trainable:
    """The model as it will be trained. new_tokens: whose embeddings are learned beside a LoRA adapter.

    Raises:
        UserError: a quantised backbone without LoRA, a layer that does not exist, or a start that cannot be made.
    """
    training = config.training
    checkpointing = config.architecture.gradient_checkpointing
    if quantised and not training.lora:
        raise UserError("A quantised backbone can only be tuned with LoRA.", where="training.lora", fix="Turn LoRA on.")
    if quantised and training.init_lora_weights == "pissa":  # of a number type that "auto" has chosen
        raise UserError(
            "PiSSA needs the weights themselves, not 8 or 4 bits.",
            where="training.init_lora_weights",
            fix="Choose the default start of the adapter, or bfloat16 as number type.",
        )
    if quantised:
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    elif checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.config.use_cache = False
    if training.lora:
        model = get_peft_model(model, lora_config(model, config, new_tokens))
        start_adapter(model, training.init_lora_weights, local_files(config))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
        fit_in(model)
    elif training.freeze_layers:
        freeze(model, training.freeze_layers)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Trainable(model, trained, sum(weights_in(parameter) for parameter in model.parameters()))


def local_files(config: ExperimentConfig) -> Path | None:
    """The folder of the backbone's files, or of its snapshot in the Hub's cache; None when there is neither."""
    folder = Path(path_of(config.llm_backbone))
    return folder if folder.is_dir() else cached_snapshot(config.llm_backbone, config.environment.huggingface_branch)


def weights_in(parameter: torch.Tensor) -> int:
    """Number of weights in a tensor; bitsandbytes keeps two 4-bit ones in each byte."""
    return int(parameter.numel()) * (2 if type(parameter).__name__ == "Params4bit" else 1)


def lora_config(model: Any, config: ExperimentConfig, new_tokens: Sequence[NewToken] = ()) -> LoraConfig:
    """PEFT's config from ours.

    Raises:
        UserError: a target module or a layer to train in full does not exist, with the nearest one.
    """
    training = config.training
    in_full = layers_named(model, training.lora_unfreeze_layers, where="training.lora_unfreeze_layers")
    wanted = [name.strip() for name in training.lora_target_modules.split(",") if name.strip()]
    if wanted:
        check_targets(model, wanted)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=training.lora_r,
        lora_alpha=training.lora_alpha,
        lora_dropout=training.lora_dropout,
        use_dora=training.use_dora,
        use_rslora=training.use_rslora,
        bias="none",
        target_modules=wanted or "all-linear",
        exclude_modules=in_full or None,
        modules_to_save=in_full or None,
        ensure_weight_tying=bool(in_full) and bool(getattr(model.config, "tie_word_embeddings", False)),
        trainable_token_indices=rows_to_learn(model, new_tokens, whole=in_full, adapted=wanted),
        init_lora_weights=PISSA if training.init_lora_weights == "pissa" else True,
    )


def check_targets(model: Any, wanted: list[str]) -> None:
    """Refuse names that no layer ends with.

    Raises:
        UserError: with the nearest name there is.
    """
    there = {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "weight")}
    for name in wanted:
        if not any(one == name or one.endswith(f".{name}") for one, _ in model.named_modules()):
            near = difflib.get_close_matches(name, there, n=1)
            raise UserError(
                f"The backbone has no layer {name!r}.",
                where="training.lora_target_modules",
                fix=f"Did you mean {near[0]!r}?" if near else f"Take some of: {', '.join(sorted(there))}.",
            )
