"""An arithmetic estimate of memory and time, labelled as one; nothing here is measured."""

import math
import os
from dataclasses import dataclass

from llm_studio.config.device_names import is_cpu
from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.facts import BackboneFacts

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "int4": 0.6}
ROOM = 0.6  # share of a device's memory that weights may take when the number type is chosen by itself
# What such devices typically reach, not their peak; a batch and a generated token cost time however small the model is.
FLOPS = {"core": 5.0e10, "cuda": 8.0e13}
BATCH_SECONDS = {"cpu": 0.15, "cuda": 0.08}
TOKEN_SECONDS = {"cpu": 0.012, "cuda": 0.025}
START_SECONDS = {"cpu": 15.0, "cuda": 30.0}
PROGRAM_BYTES = {"cpu": 0.7e9, "cuda": 1.2e9}
ACTIVATION_BYTES = 34  # per token, layer and unit of width, in 16 bits (Korthikanti et al. 2022, arXiv:2205.05198, 4.1)
LOGIT_BYTES = 8  # the logits and their gradient in 32 bits
GENERATED_AT_ONCE = 32
ANSWER_SHARE = 0.5  # of a conversation's tokens


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device and seconds from start to end, with the reasoning in words.

    fits: whether the memory suffices; None when the device's memory is not known.
    """

    memory_bytes: float
    seconds: float
    reasons: tuple[str, ...]
    fits: bool | None = None


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
    seconds, time_reasons = _time(config, facts, train_rows, validation_rows, mean_tokens, device, cores)
    fits = None if device_memory_bytes is None else memory <= device_memory_bytes
    return Estimate(memory, seconds, (*memory_reasons, *time_reasons), fits)


def _memory(
    config: ExperimentConfig, facts: BackboneFacts, mean_tokens: float, device: str, available: float | None
) -> tuple[float, tuple[str, ...]]:
    kind = _kind(device)
    dtype = likely_dtype(config, facts, device=device, device_memory_bytes=available)
    trained = trained_parameters(config, facts)
    weights = facts.parameters * BYTES[dtype]
    state = trained * (4 + 4 + (2 if config.training.optimizer == "AdamW8bit" else 8))
    tokens = min(config.tokenizer.max_length, mean_tokens * 1.5) * config.training.batch_size
    per_layer = facts.hidden_size * (2 if config.architecture.gradient_checkpointing else ACTIVATION_BYTES)
    activations = tokens * (facts.layers * per_layer + facts.vocabulary_size * LOGIT_BYTES)
    total = weights + state + activations + PROGRAM_BYTES[kind]
    return total, (
        f"Weights in {dtype}: {weights / 1e9:.2f} GB.",
        f"Gradients and optimiser state of {trained / 1e6:.1f} million trained weights: {state / 1e9:.2f} GB.",
        f"Activations of one batch: {activations / 1e9:.2f} GB; programs: {PROGRAM_BYTES[kind] / 1e9:.1f} GB.",
    )


def _time(
    config: ExperimentConfig,
    facts: BackboneFacts,
    train_rows: int,
    validation_rows: int,
    mean_tokens: float,
    device: str,
    cores: int | None,
) -> tuple[float, tuple[str, ...]]:
    kind, training = _kind(device), config.training
    speed = FLOPS["cuda"] if kind == "cuda" else FLOPS["core"] * (cores or os.cpu_count() or 1)
    tokens = min(mean_tokens, config.tokenizer.max_length)
    batches = math.ceil(train_rows / training.batch_size) * training.epochs
    operations = facts.parameters * (4 if training.lora else 6)
    learned = train_rows * tokens * training.epochs * operations / speed + batches * BATCH_SECONDS[kind]
    evaluations = int(training.evaluate_before_training) + max(1, round(training.epochs / training.evaluation_epochs))
    generated = min(validation_rows, config.prediction.max_generated_rows or validation_rows)
    answer = min(config.prediction.max_length_inference, tokens * ANSWER_SHARE)
    at_once = config.prediction.batch_size_inference or GENERATED_AT_ONCE
    decoded = math.ceil(generated / at_once) * answer * 2 * TOKEN_SECONDS[kind]
    scored = (validation_rows * tokens + generated * answer) * facts.parameters * 2 / speed + decoded
    seconds = START_SECONDS[kind] + learned + evaluations * scored
    return seconds, (
        f"Training: {train_rows * training.epochs:,} rows of about {tokens:.0f} tokens in {batches:,} batches, "
        f"{learned:,.0f} s.",
        f"{evaluations} evaluations with {generated:,} generated answers each: {evaluations * scored:,.0f} s; "
        f"start: {START_SECONDS[kind]:.0f} s.",
    )


def likely_dtype(
    config: ExperimentConfig, facts: BackboneFacts, *, device: str, device_memory_bytes: float | None = None
) -> str:
    """The number type of the weights; "auto" as the engine will choose it: the largest that leaves room."""
    wanted = config.architecture.backbone_dtype
    if wanted != "auto":
        return wanted
    order = ("float32", "bfloat16") if _kind(device) == "cpu" else ("bfloat16", "int8", "int4")
    if device_memory_bytes is None:
        return order[0]
    room = device_memory_bytes * (ROOM / 2 if _kind(device) == "cpu" else ROOM)
    return next((dtype for dtype in order if facts.parameters * BYTES[dtype] <= room), order[-1])


def trained_parameters(config: ExperimentConfig, facts: BackboneFacts) -> float:
    """All weights, or those of the adapter on every linear layer."""
    if not config.training.lora:
        return float(facts.parameters)
    key_value = facts.hidden_size * facts.key_value_heads / max(1, facts.attention_heads)
    widths = (
        4 * facts.hidden_size + 2 * (facts.hidden_size + key_value) + 3 * (facts.hidden_size + facts.intermediate_size)
    )
    return float(config.training.lora_r * facts.layers * widths)


def _kind(device: str) -> str:
    return "cpu" if is_cpu(device) else "cuda"
