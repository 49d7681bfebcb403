"""Arithmetic of the memory that a training takes, and the number type of the weights that fits; nothing is measured.

The estimate on the page and the engine's choice of "auto" both use it, so that they cannot disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_studio.catalog.optimizers import optimizer
from llm_studio.config.device_names import is_cpu
from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.facts import BackboneFacts

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "int4": 0.6}
ORDER = {"cpu": ("float32", "bfloat16"), "cuda": ("bfloat16", "int8", "int4")}
USABLE = {"cpu": 0.7, "cuda": 0.95}
"""Share of the free memory that is planned with: a GPU's memory is cut into pieces, a machine has other programs."""
PROGRAM_BYTES = {"cpu": 0.7e9, "cuda": 1.2e9}
ACTIVATION_BYTES = 34  # per token, layer and unit of width, in 16 bits (Korthikanti et al. 2022, arXiv:2205.05198, 4.1)
CHECKPOINTED_BYTES = 2  # of them, what gradient checkpointing keeps
LOGIT_BYTES = 8  # the logits and their gradient in 32 bits
STEP_BYTES = 8  # of a trained weight: gradient and update in 32 bits; the optimiser's state comes on top
LONGER_ROWS = 1.5  # a batch has longer rows than the mean


@dataclass(frozen=True)
class Needs:
    """Bytes a training takes beside the weights. row_bytes: activations of one row; a batch has `batch_size` rows."""

    parameters: int
    state_bytes: float
    row_bytes: float
    batch_size: int

    def weights_bytes(self, dtype: str) -> float:
        """The backbone in a number type."""
        return self.parameters * BYTES[dtype]

    def total_bytes(self, dtype: str, rows: int) -> float:
        """Everything, without the programs themselves, with `rows` rows at a time."""
        return self.weights_bytes(dtype) + self.state_bytes + rows * self.row_bytes


@dataclass(frozen=True)
class Fit:
    """A number type, and how many rows at a time fit beside it. fits: False when not even one does."""

    dtype: str
    rows: int
    fits: bool


def needs(config: ExperimentConfig, facts: BackboneFacts, *, mean_tokens: float | None = None) -> Needs:
    """What a training of these settings takes. mean_tokens: of one row; None plans with the longest allowed ones."""
    longest = config.tokenizer.max_length
    tokens = longest if mean_tokens is None else min(longest, mean_tokens * LONGER_ROWS)
    kept = CHECKPOINTED_BYTES if config.architecture.gradient_checkpointing else ACTIVATION_BYTES
    row = tokens * (facts.layers * facts.hidden_size * kept + facts.vocabulary_size * LOGIT_BYTES)
    state = trained_parameters(config, facts) * (STEP_BYTES + optimizer(config.training.optimizer).state_bytes)
    return Needs(facts.parameters, state, row, config.training.batch_size)


def fitting(needed: Needs, *, free_bytes: float, order: Sequence[str]) -> Fit:
    """The first number type of `order` with which a batch fits, or half of it, and so on down to one row; the last
    type with one row when nothing fits. Fewer rows at a time cost little, since the trainer then accumulates over more
    of them; a number type with fewer bits costs accuracy.

    free_bytes: of the device, less what is not to be planned with.
    """
    for dtype in order:
        for rows in halves(needed.batch_size):
            if needed.total_bytes(dtype, rows) <= free_bytes:
                return Fit(dtype, rows, True)
    return Fit(order[-1], 1, False)


def halves(rows: int) -> Iterator[int]:
    """8, 4, 2, 1."""
    while rows > 1:
        yield rows
        rows //= 2
    yield 1


def trained_parameters(config: ExperimentConfig, facts: BackboneFacts) -> float:
    """All weights, or those of the adapter on every linear layer."""
    if not config.training.lora:
        return float(facts.parameters)
    key_value = facts.hidden_size * facts.key_value_heads / max(1, facts.attention_heads)
    widths = (
        4 * facts.hidden_size + 2 * (facts.hidden_size + key_value) + 3 * (facts.hidden_size + facts.intermediate_size)
    )
    return float(config.training.lora_r * facts.layers * widths)


def kind_of(device: str) -> str:
    """ "cpu" or "cuda"."""
    return "cpu" if is_cpu(device) else "cuda"
