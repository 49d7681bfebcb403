"""What training minimises."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """One member; `weights` ("module:function") takes the learned tokens of each row of an optimiser step and gives the
    weight of a token in each row."""

    name: str
    help: str
    weights: str


LOSSES: tuple[Loss, ...] = (
    Loss(
        "TokenAveragedCrossEntropy",
        "Cross-entropy averaged over the learned tokens of the whole optimiser step.",
        "llm_studio.training.losses:token_averaged",
    ),
    Loss(
        "SampleAveragedCrossEntropy",
        "Cross-entropy averaged within each row, then over the rows of the whole optimiser step.",
        "llm_studio.training.losses:sample_averaged",
    ),
)
