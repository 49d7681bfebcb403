"""An arithmetic estimate of memory and time, labelled as one; nothing here is measured."""

import math
import os
from dataclasses import dataclass

from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.facts import BackboneFacts
from llm_studio.config.generated_rows import Costs, generated_rows
from llm_studio.config.memory import (
    ORDER,
    PROGRAM_BYTES,
    USABLE,
    Fit,
    fitting,
    kind_of,
    needs,
    trained_parameters,
)

# What such devices typically reach, not their peak; a batch and a generated token cost time however small the model is.
FLOPS = {"core": 5.0e10, "cuda": 8.0e13}
BATCH_SECONDS = {"cpu": 0.15, "cuda": 0.08}
TOKEN_SECONDS = {"cpu": 0.012, "cuda": 0.025}
START_SECONDS = {"cpu": 15.0, "cuda": 30.0}
GENERATED_AT_ONCE = 32
ANSWER_SHARE = 0.5  # of a conversation's tokens
JUDGE_WORDS = "The judge's calls come on top; Check fit measures how long they take."


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device and seconds from start to end, with the reasoning in words.

    fits: whether the memory suffices; None when the device's memory is not known. generated_rows: that get an answer at
    each evaluation; costs: from which that number comes.
    """

    memory_bytes: float
    seconds: float
    reasons: tuple[str, ...]
    fits: bool | None
    generated_rows: int
    costs: Costs


@dataclass(frozen=True)
class Times:
    """Seconds from start to end, answers of an evaluation, and what these rest on."""

    seconds: float
    generated: int
    costs: Costs


def estimate(
    config: ExperimentConfig,
    *,
    facts: BackboneFacts,
    train_rows: int,
    validation_rows: int,
    mean_tokens: float,
    device: str,
    device_memory_bytes: float | None = None,
    cores: int | None = None,
) -> Estimate:
    """Weights, gradients and optimiser state of what is trained, activations of one batch; and 6 operations per weight
    and token for training (4 when only an adapter is trained), 2 for scoring.

    mean_tokens: of one conversation. cores: of this machine when None.
    """
    memory, memory_reasons = _memory(config, facts, mean_tokens, device, device_memory_bytes)
    times, time_reasons = _time(config, facts, train_rows, validation_rows, mean_tokens, device, cores)
    fits = None if device_memory_bytes is None else memory <= device_memory_bytes
    reasons = (*memory_reasons, *time_reasons)
    return Estimate(memory, times.seconds, reasons, fits, times.generated, times.costs)


def _memory(
    config: ExperimentConfig, facts: BackboneFacts, mean_tokens: float, device: str, available: float | None
) -> tuple[float, tuple[str, ...]]:
    kind = kind_of(device)
    fit = likely_fit(config, facts, device=device, device_memory_bytes=available, mean_tokens=mean_tokens)
    needed = needs(config, facts, mean_tokens=mean_tokens)
    total = needed.total_bytes(fit.dtype, fit.rows) + PROGRAM_BYTES[kind]
    weights, activations = needed.weights_bytes(fit.dtype), fit.rows * needed.row_bytes
    rows = "1 row" if fit.rows == 1 else f"{fit.rows} rows"
    return total, (
        f"Weights in {fit.dtype}: {weights / 1e9:.2f} GB.",
        f"Gradients and optimiser state of {trained_parameters(config, facts) / 1e6:.1f} million trained weights: "
        f"{needed.state_bytes / 1e9:.2f} GB.",
        f"Activations of {rows} at a time: {activations / 1e9:.2f} GB; programs: {PROGRAM_BYTES[kind] / 1e9:.1f} GB.",
    )


def _time(
    config: ExperimentConfig,
    facts: BackboneFacts,
    train_rows: int,
    validation_rows: int,
    mean_tokens: float,
    device: str,
    cores: int | None,
) -> tuple[Times, tuple[str, ...]]:
    kind, training = kind_of(device), config.training
    speed = FLOPS["cuda"] if kind == "cuda" else FLOPS["core"] * (cores or os.cpu_count() or 1)
    tokens = min(mean_tokens, config.tokenizer.max_length)
    batches = math.ceil(train_rows / training.batch_size) * training.epochs
    operations = facts.parameters * (4 if training.lora else 6)
    learned = train_rows * tokens * training.epochs * operations / speed + batches * BATCH_SECONDS[kind]
    answer = min(config.prediction.max_length_inference, tokens * ANSWER_SHARE)
    at_once = config.prediction.batch_size_inference or GENERATED_AT_ONCE
    after = max(1, round(training.epochs / training.evaluation_epochs))
    costs = Costs(
        training_seconds=learned,
        evaluations=after,
        likelihood_seconds=validation_rows * tokens * facts.parameters * 2 / speed,
        answer_seconds=answer * (facts.parameters * 2 / speed + 2 * TOKEN_SECONDS[kind] / at_once),
    )
    generated = generated_rows(config, validation_rows, costs)
    evaluations = int(training.evaluate_before_training) + after
    scored = costs.scoring_seconds(generated) / after
    seconds = START_SECONDS[kind] + learned + evaluations * scored
    return Times(seconds, generated, costs), (
        f"Training: {train_rows * training.epochs:,} rows of about {tokens:.0f} tokens in {batches:,} batches, "
        f"{learned:,.0f} s.",
        f"{evaluations} evaluations with {generated:,} generated answers each: {evaluations * scored:,.0f} s; "
        f"start: {START_SECONDS[kind]:.0f} s.",
        *([JUDGE_WORDS] if config.prediction.metric == "gpt" else []),
    )


def likely_fit(
    config: ExperimentConfig,
    facts: BackboneFacts,
    *,
    device: str,
    device_memory_bytes: float | None = None,
    mean_tokens: float | None = None,
) -> Fit:
    """The number type of the weights and the rows at a time; "auto" as the engine will choose it when nothing else
    uses the device. A number type that is set is taken with whole batches."""
    wanted, kind = config.architecture.backbone_dtype, kind_of(device)
    batch = config.training.batch_size
    if not config.training.lora and wanted in ("auto", "float16"):
        return Fit("float32", batch, True)
    if wanted == "float16" and kind == "cpu":
        return Fit("bfloat16", batch, True)
    if wanted != "auto" or device_memory_bytes is None:
        return Fit(ORDER[kind][0] if wanted == "auto" else wanted, batch, True)
    room = device_memory_bytes * USABLE[kind] - PROGRAM_BYTES[kind]
    return fitting(needs(config, facts, mean_tokens=mean_tokens), free_bytes=room, order=ORDER[kind])
