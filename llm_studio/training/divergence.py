"""Notices a loss that is no number, or that has left the ground and does not come back."""

from collections import deque
from statistics import median

from llm_studio.errors import UserError

FIRST, LAST = 5, 20
"""Steps whose median loss is compared: the first of the training with the latest. One peak does not move it."""
RISE_NATS = 2.0
CAUSES = "Lower the learning rate, lengthen the warm-up, turn gradient clipping on, or turn mixed precision off."


class DivergedError(UserError):
    """The loss or its gradient is no number any more, or (`rose`) far above where it began."""

    def __init__(self, what: str, *, rose: bool = False) -> None:
        self.rose = rose
        super().__init__(what, where="training.learning_rate", fix=f"{CAUSES} The state before it happened is kept.")


def no_number(what: str, step: int) -> DivergedError:
    """what: "loss" or "gradient"; step: the last good one."""
    return DivergedError(f"The {what} is no number any more after step {step}.")


class Watch:
    """Looks at the loss of every step, in nats per learned token."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=LAST)

    def look(self, step: int, loss: float) -> None:
        """Remember a step's loss.

        Raises:
            DivergedError: the median of the last steps lies RISE_NATS above that of the first.
        """
        if len(self._first) < FIRST:
            self._first.append(loss)
            return
        self._last.append(loss)
        if len(self._last) < LAST:
            return
        began, now = median(self._first), median(self._last)
        if now > began + RISE_NATS:
            raise DivergedError(
                f"The loss rose from {began:.2f} to {now:.2f} and stayed there until step {step}: the training has "
                "left what the backbone knew.",
                rose=True,
            )
