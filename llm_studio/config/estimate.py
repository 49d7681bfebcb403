"""An arithmetic estimate of memory and time, labelled as one; nothing here is measured."""

from dataclasses import dataclass

from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.facts import BackboneFacts

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "int4": 0.6}
FLOPS = {"cpu": 1.0e11, "cuda": 8.0e13}
START_SECONDS = {"cpu": 15.0, "cuda": 30.0}
OVERHEAD_BYTES = {"cpu": 0.7e9, "cuda": 1.2e9}


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device and seconds from start to end, with the reasoning in words."""

    memory_bytes: float
    seconds: float
    reasons: tuple[str, ...]


def estimate(
    config: ExperimentConfig,
    *,
    facts: BackboneFacts,
    train_rows: int,
    validation_rows: int,
    mean_tokens: float,
    device: str,
) -> Estimate:
    """Weights, gradients and optimiser state of what is trained, activations of one batch; and 6 operations per weight
    and token for training (4 when only an adapter is trained), 2 for scoring.

    mean_tokens: of one conversation. The figures of FLOPS are what such devices typically reach, not their peak.
    """
    kind = "cpu" if device == "cpu" else "cuda"
    dtype = config.architecture.backbone_dtype
    dtype = ("float32" if kind == "cpu" else "bfloat16") if dtype == "auto" else dtype
    trained = trained_parameters(config, facts)
    weights = facts.parameters * BYTES[dtype]
    state = trained * (4 + 4 + (2 if config.training.optimizer == "AdamW8bit" else 8))
    tokens = min(config.tokenizer.max_length, mean_tokens * 1.5) * config.training.batch_size
    per_layer = facts.hidden_size * (2 if config.architecture.gradient_checkpointing else 34)
    activations = tokens * (facts.layers * per_layer * 2 + facts.vocabulary_size * 8)
    memory = weights + state + activations + OVERHEAD_BYTES[kind]
    per_token = facts.parameters * (4 if config.training.lora else 6)
    learned = train_rows * mean_tokens * config.training.epochs * per_token
    evaluations = 1 + max(1.0, config.training.epochs / config.training.evaluation_epochs)
    generated = min(validation_rows, config.prediction.max_generated_rows or validation_rows) * mean_tokens / 2
    scored = evaluations * (validation_rows * mean_tokens + 12 * generated) * facts.parameters * 2
    seconds = (learned + scored) / FLOPS[kind] + START_SECONDS[kind]
    return Estimate(
        memory_bytes=memory,
        seconds=seconds,
        reasons=(
            f"Weights in {dtype}: {weights / 1e9:.2f} GB.",
            f"Gradients and optimiser state of {trained / 1e6:.1f} million trained weights: {state / 1e9:.2f} GB.",
            f"Activations of one batch: {activations / 1e9:.2f} GB; programs: {OVERHEAD_BYTES[kind] / 1e9:.1f} GB.",
            f"{train_rows * config.training.epochs:,} rows of about {mean_tokens:.0f} tokens, "
            f"and {evaluations:.0f} evaluations.",
        ),
    )


def trained_parameters(config: ExperimentConfig, facts: BackboneFacts) -> float:
    """All weights, or those of the adapter on every linear layer."""
    if not config.training.lora:
        return float(facts.parameters)
    key_value = facts.hidden_size * facts.key_value_heads / max(1, facts.attention_heads)
    widths = (
        4 * facts.hidden_size + 2 * (facts.hidden_size + key_value) + 3 * (facts.hidden_size + facts.intermediate_size)
    )
    return float(config.training.lora_r * facts.layers * widths)
