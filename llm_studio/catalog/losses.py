"""What training minimises."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """One member, and what it averages over."""

    name: str
    help: str


LOSSES: tuple[Loss, ...] = (
    Loss("TokenAveragedCrossEntropy", "Cross-entropy averaged over the learned tokens of the whole optimiser step."),
)
