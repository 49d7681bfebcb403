"""Loads the backbone of an experiment and fits it out, in the same way for its training and for a check of it."""

from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.config.facts import BackboneFacts
from llm_studio.config.memory import needs
from llm_studio.modeling import devices, kernels
from llm_studio.modeling.backbone_dropout import dropouts_of
from llm_studio.modeling.devices import Choice
from llm_studio.modeling.further_weights import TAKEN
from llm_studio.modeling.marker_tokens import make_room
from llm_studio.modeling.quantising import QUANTISED, computing_dtype
from llm_studio.training.processes import Processes
from llm_studio.worker.job_processes import as_split
from llm_studio.worker.job_reporting import Teller
from llm_studio.worker.job_rows import Prepared, check_vocabulary
from llm_studio.worker.job_start import Start, load_to_train


def load_backbone(
    config: ExperimentConfig,
    facts: BackboneFacts,
    start: Start,
    prepared: Prepared,
    processes: Processes,
    teller: Teller,
) -> tuple[Any, Choice, torch.dtype | None]:
    """The model, its number type, and what it is computed in (None: as it is held); on the CPU when it will be split.

    Raises:
        UserError: it cannot be loaded, or does not fit the tokenizer.
    """
    teller.phase("Loading the backbone")
    device, split = processes.device, processes.kind == "fsdp"
    loaded_as, loaded_on = (as_split(config, device), "cpu") if split else (config, device)
    model, dtype = load_to_train(start, loaded_as, loaded_on, needs(config, facts, mean_tokens=prepared.mean_tokens))
    return model, dtype, fit_out(model, prepared, config, device, dtype, teller, has_markers=start.is_whole)


def fit_out(
    model: Any,
    prepared: Prepared,
    config: ExperimentConfig,
    device: str,
    dtype: Choice,
    teller: Teller,
    *,
    has_markers: bool = False,
) -> torch.dtype | None:
    """Room for new tokens, unless it has it, and what computes the model; each choice is told with its reason.

    Gives what the model is computed in (None: as it is held).

    Raises:
        UserError: it does not fit the tokenizer.
    """
    if prepared.template.new_tokens and not has_markers:
        make_room(model, prepared.tokenizer, prepared.template.new_tokens)
    if words := getattr(model, TAKEN, ""):
        teller.note(words)
    check_vocabulary(model, prepared.samples, config.llm_backbone)
    autocast, why = devices.choose_autocast(device=device, environment=config.environment, dtype=dtype.value)
    teller.note(computing_words(autocast, why, dtype.value, device))
    if config.architecture.intermediate_dropout and not dropouts_of(model.config):
        teller.note("Backbone dropout has no effect: this backbone's architecture has none.")
    mixed = config.environment.mixed_precision
    for words in kernels.prepare(model, config.training.kernels, torch.device(device), mixed_precision=mixed):
        teller.note(words)
    return autocast


def computing_words(autocast: torch.dtype | None, why: str, held: str, device: str) -> str:
    """In what training computes, as a sentence. held: number type of the backbone."""
    computed = autocast or (computing_dtype(device) if held in QUANTISED else devices.DTYPES[held])
    name = "32 bits" if computed is torch.float32 else str(computed).removeprefix("torch.")
    return f"Computing in {name}{'' if autocast else ', as the backbone is held'}: {why}."
