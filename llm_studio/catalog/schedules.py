"""How the learning rate falls after the warm-up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """One member; the curve itself is `llm_studio.training.schedules:rate_factor`, which takes its name."""

    name: str
    help: str


SCHEDULES: tuple[Schedule, ...] = (
    Schedule("Cosine", "Slowly at first, fast in the middle, slowly at the end."),
    Schedule("Linear", "Evenly down to the floor."),
    Schedule("Constant", "It does not fall."),
    Schedule("WarmupStableDecay", "Constant, then evenly down to the floor over the last fifth."),
)
