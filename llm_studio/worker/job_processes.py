"""Joins the processes of one experiment, and chooses whether each holds the whole model or a part of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from llm_studio.config import ExperimentConfig
from llm_studio.config.checks import QUANTISED, WHOLE_OPTIMIZERS
from llm_studio.config.device_names import is_cpu, places
from llm_studio.config.memory import BYTES, USABLE, kind_of
from llm_studio.errors import UserError
from llm_studio.modeling.devices import Choice, free_bytes, gigabytes
from llm_studio.modeling.heap import give_back
from llm_studio.store import ExperimentRecord
from llm_studio.training.processes import Processes, joined
from llm_studio.training.sharing import mesh_of, part
from llm_studio.worker import ranks
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_reporting import Reporter, Teller

ROOM = 0.6
"""Share of the memory that is planned with that weights may take, so that activations fit beside them."""
TRAINED_BYTES = 16.0
"""Of each trained weight: itself, its gradient and two averages of the optimiser, in 32 bits."""
LOADING = 1.25
"""Memory that a model takes while it is loaded, of what it takes then."""


def join(record: ExperimentRecord) -> Processes:
    """Meet the others; alone when there are none.

    Raises:
        UserError: there are more or fewer processes than devices.
    """
    devices = places(record.device)
    if not ranks.are_several() and len(devices) == 1:
        return Processes(device=record.device)
    found = joined(devices[ranks.own_rank()]) if ranks.are_several() else Processes()
    if found.size != len(devices):
        raise UserError(
            f"{found.size} processes were started for {record.device}.",
            where="environment.gpus",
            fix="Start the experiment in the studio or with llm-studio train, which start one for each device.",
        )
    return found


def choose_kind(config: ExperimentConfig, parameters: int, processes: Processes) -> Choice:
    """ "alone", "ddp" or "fsdp", the same in all processes, with the reason. parameters: 0 when not known.

    Raises:
        UserError: "fsdp" is set, and the backbone or the optimiser cannot be split.
    """
    wanted = config.environment.distributed
    if processes.size == 1:
        return Choice("alone", "one process")
    free = processes.free_bytes()
    dtype, optimizer = config.architecture.backbone_dtype, config.training.optimizer
    hinders: str = dtype if dtype in QUANTISED else optimizer if optimizer in WHOLE_OPTIMIZERS else ""
    if config.training.lora and config.training.init_lora_weights != "default":
        hinders = hinders or f"an adapter that starts by {config.training.init_lora_weights}"
    if config.training.lora and config.tokenizer.add_prompt_answer_tokens:
        hinders = hinders or "learning new tokens beside an adapter"
    if wanted == "fsdp" and hinders:
        raise UserError(f"{hinders} needs a whole model.", where="environment.distributed", fix="Choose auto or ddp.")
    if wanted != "auto":
        return Choice(wanted, "as set")
    if hinders:
        return Choice("ddp", f"{hinders} needs a whole model")
    each = BYTES["bfloat16" if dtype == "auto" else dtype] if config.training.lora else TRAINED_BYTES
    fits = processes.everywhere(parameters * each <= free * ROOM * USABLE[kind_of(processes.device)])
    size = f"{parameters * each / 1e9:.1f} GB of weights{'' if config.training.lora else ' with their optimiser'}"
    if fits:
        return Choice("ddp", f"{size} fit into the {free / 1e9:.0f} GB that are free for each")
    return Choice("fsdp", f"{size} do not fit into the {free / 1e9:.0f} GB that are free for each")


def shared(config: ExperimentConfig, parameters: int, processes: Processes, reporter: Teller) -> Processes:
    """The same processes, once it is chosen and told how they share the model. parameters: 0 when not known.

    Raises:
        UserError: as `choose_kind`.
    """
    if processes.size == 1:
        return processes
    kind = choose_kind(config, parameters, processes)
    processes = processes.sharing("fsdp" if kind.value == "fsdp" else "ddp")
    reporter.note(sharing_words(processes, kind))
    return processes


@contextmanager
def loading_in_turns(
    config: ExperimentConfig, parameters: int, processes: Processes, reporter: Teller
) -> Iterator[Callable[[Any], None]]:
    """Within it a model is loaded, and parted by what it gives, where one is split: by as many processes at a time as
    the machine's memory holds whole models. A model that is not split is loaded at once, and left whole.

    parameters: 0 when not known.
    """
    if processes.kind != "fsdp":
        yield lambda model: None
        return
    mesh, free = mesh_of(processes), free_bytes("cpu")
    at_once = processes.gathered(whole_models(config, parameters, processes, free))[0]
    if at_once < processes.size:
        how = "one after the other" if at_once == 1 else f"{at_once} at a time"
        room = f"the {gigabytes(free)} that are free here do not hold it whole {processes.size} times"
        reporter.note(f"The processes load the model {how}, each to keep its part of it, since {room}.")

    def keep_own_part(model: Any) -> None:
        part(model, mesh)
        give_back()

    with processes.in_turns(at_once):
        yield keep_own_part


def whole_models(config: ExperimentConfig, parameters: int, processes: Processes, free: float) -> int:
    """How many processes may hold the whole model in the machine's memory at once, at least 1. free: bytes of it."""
    dtype = as_split(config, processes.device).architecture.backbone_dtype
    size = LOADING * parameters * BYTES["float32" if dtype == "auto" else dtype]
    return processes.size if size == 0 else min(processes.size, max(1, int(free / size)))


def as_split(config: ExperimentConfig, device: str) -> ExperimentConfig:
    """The config by which a model is loaded that will be split: in 16 bits unless set, for what all GPUs hold together
    is not known where one of them is asked."""
    if is_cpu(device) or not config.training.lora or config.architecture.backbone_dtype != "auto":
        return config
    return config.with_changes({"architecture.backbone_dtype": "bfloat16"})


def sharing_words(processes: Processes, kind: Choice) -> str:
    """How the processes share the model, as a sentence."""
    how = "each holds the whole model (DDP)" if kind.value == "ddp" else "the model is split over them (FSDP)"
    return f"{processes.size} processes train together; {how}: {kind.reason}."


def before_of_split(model: Any, dtype: str, fingerprint: str, evaluations: Evaluations, words: str) -> None:
    """Score what the experiment starts from below the adapter of a model that is split, and so fits nowhere without
    it. words: what that is."""
    with model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext():
        evaluations.before(model, dtype, fingerprint, of=words)


def rows_of_micro_batch(folder: Path, reporter: Reporter) -> int | None:
    """Most rows that fit into a micro-batch, when an attempt of several processes before found out."""
    rows = ranks.rows_noted(folder)
    if rows is not None:
        reporter.note(
            f"Memory ran out before: from here on micro-batches hold {rows} rows. The rows of a step, and its result, "
            "stay the same."
        )
    return rows
