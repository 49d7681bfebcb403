"""What to change in an experiment that ran out of memory: its own settings with the numbers they have and should have.

Imports neither torch nor transformers, since the supervisor says it too, of a process that the system has ended.
"""

from pathlib import Path

from llm_studio.actions.experiments import BEGUN_FILE
from llm_studio.config import ExperimentConfig, from_yaml
from llm_studio.errors import UserError
from llm_studio.modeling.facts import read_json
from llm_studio.store.experiments import CONFIG_FILE

SHORTEST = 64
UNKNOWN = (
    "Lower the batch size or the longest conversation, load the backbone in int8 or int4, or close other programs."
)


def less_memory(config: ExperimentConfig, *, dtype: str = "", halved: bool = False) -> str:
    """The changes that help, those that cost the least first.

    dtype: the number type it ran in, empty when not known. halved: micro-batches of one row were tried already.
    """
    training = config.training
    advice = []
    if halved:
        advice.append("Batches were computed one row at a time already, so a smaller batch size does not help.")
    elif training.batch_size > 1:
        parts = next(part for part in range(2, training.batch_size + 1) if training.batch_size % part == 0)
        advice.append(
            f"Set batch size {training.batch_size} → {training.batch_size // parts} with gradient accumulation "
            f"{training.grad_accumulation} → {training.grad_accumulation * parts}: the rows of a step, and the result, "
            "stay the same."
        )
    if not config.architecture.gradient_checkpointing:
        advice.append("Turn gradient checkpointing on: much less memory, about a third slower.")
    if not training.lora:
        advice.append("Turn LoRA on, so that only small matrices have gradients and optimiser state.")
    elif dtype != "int4":
        smaller = "int4" if dtype == "int8" else "int8 or int4"
        advice.append(f"Load the backbone in {smaller}{f' instead of {dtype}' if dtype else ''}.")
    longest = config.tokenizer.max_length
    if longest >= 2 * SHORTEST:
        advice.append(f"Lower the longest conversation, {longest:,} → {longest // 2:,} tokens.")
    advice.append("Close other programs that use the same memory, or take a smaller backbone.")
    return " ".join(advice)


def advice_for(folder: Path, *, halved: bool = False) -> str:
    """The same for the experiment of a folder; general words where its config cannot be read."""
    try:
        config = from_yaml((folder / CONFIG_FILE).read_text(encoding="utf-8")).config
    except (OSError, UserError):
        return UNKNOWN
    return less_memory(config, dtype=dtype_of(folder), halved=halved)


def dtype_of(folder: Path) -> str:
    """The number type it ran in; empty when it had not got that far."""
    try:
        return str(read_json(folder / BEGUN_FILE).get("dtype", ""))
    except UserError:
        return ""
