"""What the training tells while it runs; whoever listens writes charts, scores and progress."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepDone:
    """After an optimiser step. loss: nats per learned token of the step. seconds: since the training began."""

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float | None
    tokens_per_second: float
    seconds: float


@dataclass(frozen=True)
class EvaluationDue:
    """The model is to be scored now; the listener does it before the training goes on, and may end it early."""

    step: int
    epoch: float
    last: bool


@dataclass(frozen=True)
class CheckpointSaved:
    """A state to go on from was written."""

    step: int


@dataclass(frozen=True)
class Note:
    """Something worth knowing, in words."""

    text: str


Event = StepDone | EvaluationDue | CheckpointSaved | Note
Listener = Callable[[Event], bool | None]
"""True as answer to EvaluationDue ends the training: it has stopped getting better."""
