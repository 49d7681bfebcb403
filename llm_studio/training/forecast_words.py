"""A forecast in words for somebody who has never trained a model: what it takes, and what to change if it is too much.

Used by the log and by the pages alike, so that both say the same.
"""

from llm_studio.config import ExperimentConfig
from llm_studio.config.generated_rows import LEAST_SECONDS, SHARE
from llm_studio.training.forecast import MARGIN, Forecast, Measured

LONG_SECONDS = 6 * 3600.0
"""From here on the forecast says what would make the experiment shorter."""
SCORING_SHARE = 0.3
FEWER_ROWS = 20
KEPT_BY_CHECKPOINTING = 0.35
"""About the share of the memory of a step that stays with gradient checkpointing, and about what it costs in time."""
CHECKPOINTING_COSTS = 1.33
STORED_BYTES = {"int8": 1.1, "int4": 0.6}


def sentences(found: Forecast, config: ExperimentConfig) -> tuple[str, ...]:
    """Memory, time and disk, one sentence each."""
    return memory_words(found, config), time_words(found), disk_words(found)


def memory_words(found: Forecast, config: ExperimentConfig) -> str:
    """ "Fits: peak 1.4 of 24 GB." """
    peak = f"peak {pair(found.memory_bytes, found.device_bytes)}"
    if found.fits_memory:
        return f"Fits: {peak}."
    if found.memory_bytes * (1 + MARGIN) > found.available_bytes:
        free = f", of which {size(found.available_bytes)} are free" if found.memory_bytes < found.device_bytes else ""
        return f"Does not fit: {peak}{free}."
    return f"Does not fit with {config.training.batch_size} rows at once; with fewer it reaches {peak}."


def time_words(found: Forecast) -> str:
    """ "About 1 min 10 s: 5 s start, 40 s training (240 steps of 0.17 s), 25 s scoring in 3 evaluations with 50 answers
    each." """
    parts = [f"{duration(found.start_seconds)} start"]
    if found.steps:
        one = f"{found.step_seconds:.2g} s" if found.step_seconds < 60 else duration(found.step_seconds)
        parts.append(f"{duration(found.training_seconds)} training ({plural(found.steps, 'step')} of {one})")
    if found.scored:
        answers = f"{plural(found.generated_rows, 'answer')} each"
        if found.scoring_seconds > max(LEAST_SECONDS, SHARE * found.training_seconds) and found.steps:
            answers += f", {100 * found.scoring_seconds / max(1e-9, found.training_seconds):.0f} % of the training"
        parts.append(
            f"{duration(found.scoring_seconds)} scoring in {plural(found.scored, 'evaluation')} with {answers}"
        )
    if found.saving_seconds >= 0.02 * found.seconds:
        parts.append(f"{duration(found.saving_seconds)} writing checkpoints")
    return f"About {duration(found.seconds)}: {', '.join(parts)}."


def disk_words(found: Forecast) -> str:
    """ "Checkpoints take 12 MB." """
    if found.fits_disk:
        return f"Checkpoints take {size(found.disk_bytes)}."
    return f"Checkpoints take {size(found.disk_bytes)}, but only {size(found.free_disk_bytes)} of the disk are free."


def advice(found: Forecast, measured: Measured, config: ExperimentConfig) -> tuple[str, ...]:
    """What to change when it does not fit or takes long, each with what it would bring; best first."""
    changes: list[str] = []
    if not found.fits_memory:
        changes += memory_advice(measured, config)
    if not found.fits_disk:
        changes.append("Free disk space in Settings, or keep only the last checkpoint.")
    if found.seconds >= LONG_SECONDS:
        changes += time_advice(found, measured, config)
    return tuple(changes)


def memory_advice(measured: Measured, config: ExperimentConfig) -> list[str]:
    """Ways to need less memory, those that change no result first."""
    training, changes = config.training, []
    of_step = max(0, measured.peak_bytes - measured.base_bytes) / max(1, measured.rows_at_once)
    rows = measured.rows_at_once
    while rows > 1 and (measured.base_bytes + of_step * rows) * (1 + MARGIN) > measured.available_bytes:
        rows //= 2
    if rows < measured.rows_at_once or measured.step_rows < training.batch_size:
        steps = -(-training.batch_size * training.grad_accumulation // rows)
        about = size(measured.base_bytes + of_step * rows)
        changes.append(f"Batch size {rows} with gradient accumulation {steps}: the same result, peak about {about}.")
    if not config.architecture.gradient_checkpointing:
        about = size(measured.base_bytes + of_step * measured.rows_at_once * KEPT_BY_CHECKPOINTING)
        slower = f"{100 * (CHECKPOINTING_COSTS - 1):.0f} % slower"
        changes.append(f"Gradient checkpointing: the same result, peak about {about}, about {slower}.")
    if training.lora:
        changes += [words for dtype in STORED_BYTES if (words := stored_words(measured, config, dtype))]
    else:
        changes.append("LoRA: trains a small adapter instead of all weights, which needs no optimiser state for them.")
    shorter = config.tokenizer.max_length // 2
    if shorter >= 64:
        about = size(measured.base_bytes + of_step * measured.rows_at_once / 2)
        changes.append(
            f"Longest conversation {shorter:,} tokens: peak about {about}; longer rows lose their beginning or are "
            "left out, as set."
        )
    return changes


def stored_words(measured: Measured, config: ExperimentConfig, dtype: str) -> str:
    """What a quantised backbone saves; empty where it saves nothing. Assumes that the weights were measured in 16 bits
    or more."""
    held = config.architecture.backbone_dtype
    width = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}.get(held, 2.0 if measured.device != "cpu" else 4.0)
    saved = measured.weight_bytes * (1 - STORED_BYTES[dtype] / width)
    if held in STORED_BYTES or saved < 0.02 * measured.peak_bytes:
        return ""
    return f"Number type {dtype}: saves about {size(saved)}, costs some accuracy."


def time_advice(found: Forecast, measured: Measured, config: ExperimentConfig) -> list[str]:
    """Ways to take less time, the largest share first."""
    changes = []
    rows = found.generated_rows
    if found.scoring_seconds > SCORING_SHARE * found.seconds and rows > FEWER_ROWS:
        answers = found.scoring_seconds - found.scored * measured.likelihood_seconds
        saved = answers * (1 - FEWER_ROWS / rows)
        changes.append(
            f"Generate {FEWER_ROWS} rows in each evaluation instead of {rows:,}: saves about {duration(saved)}."
        )
    if config.training.epochs > 1:
        saved = found.training_seconds / config.training.epochs
        changes.append(f"One epoch less: saves about {duration(saved)}.")
    if config.architecture.gradient_checkpointing and found.fits_memory:
        saved = found.training_seconds * (1 - 1 / CHECKPOINTING_COSTS)
        changes.append(f"No gradient checkpointing, if the memory allows: saves about {duration(saved)}.")
    if measured.device == "cpu":
        changes.append("A smaller backbone or a machine with a GPU: most of the time is arithmetic.")
    return changes


def size(number_bytes: float) -> str:
    """1_400_000_000 -> "1.4 GB" (powers of 1000, two figures)."""
    value, unit = in_unit(number_bytes)
    return f"{two_figures(value)} {unit}"


def pair(part_bytes: float, whole_bytes: float) -> str:
    """Two sizes in the unit of the larger one: "1.4 of 24 GB"; each in its own where that would read 0."""
    value, unit = in_unit(whole_bytes)
    share = part_bytes * value / max(1.0, whole_bytes)
    if share < 0.1:
        return f"{size(part_bytes)} of {two_figures(value)} {unit}"
    return f"{two_figures(share)} of {two_figures(value)} {unit}"


def in_unit(number_bytes: float) -> tuple[float, str]:
    """The number in the unit that makes it at least 1."""
    value = float(number_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return value, unit
        value /= 1000
    return value, "TB"


def two_figures(value: float) -> str:
    """1.44 -> "1.4", 24.3 -> "24", 312 -> "312"."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """70 -> "1 min 10 s", 7500 -> "2 h 05 min"; no more exact than a forecast is."""
    if seconds < 1:
        return "1 s" if seconds >= 0.5 else "0 s"
    if seconds < 60:
        return f"{seconds:.0f} s" if round(seconds) < 60 else "1 min"
    if seconds < 600:
        minutes, rest = divmod(round(seconds / 10) * 10, 60)
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    if seconds < 3600:
        return f"{min(59, round(seconds / 60))} min"
    if seconds < 172800:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes:02d} min"
    return f"{seconds / 86400:.1f} days"


def plural(number: int, one: str) -> str:
    """3, "step" -> "3 steps"."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"
