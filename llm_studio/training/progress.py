"""What the trainer tells of its steps: read back from the device every few steps, on a clock without evaluations."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.training.divergence import Watch, no_number
from llm_studio.training.events import Listener, StepDone
from llm_studio.training.plan import Plan

READ_STEPS, READ_SECONDS = 20, 1.0
"""Figures wait on the device for so many steps or seconds at most; on a CPU they do not wait."""


@dataclass
class _Waiting:
    step: int
    loss: torch.Tensor
    norm: torch.Tensor
    rate: float
    tokens: int
    at: float


class Progress:
    """Turns steps into events; one event for every `logging.log_every_steps` steps, with the mean of their losses."""

    def __init__(self, config: ExperimentConfig, plan: Plan, listen: Listener) -> None:
        self._every = config.logging.log_every_steps
        self._plan = plan
        self._listen = listen
        self._watch = Watch()
        self._waiting: list[_Waiting] = []
        self._read_at = time.monotonic()
        self._seconds = 0.0
        self._at: float | None = None
        self._told_seconds = 0.0
        self._tokens = 0
        self._losses: list[float] = []
        self.evaluated = -1

    def add(self, step: int, loss: torch.Tensor, norm: torch.Tensor, rate: float, tokens: int, began: float) -> None:
        """After a step. loss, norm: [] on the device. tokens: read in it. began: on the monotonic clock."""
        if self._at is None:
            self._at = began
        self._waiting.append(_Waiting(step, loss, norm, rate, tokens, time.monotonic()))

    @property
    def is_due(self) -> bool:
        """Whether it is time to read back: at once on a CPU, every few steps elsewhere."""
        late = time.monotonic() - self._read_at >= READ_SECONDS or len(self._waiting) >= READ_STEPS
        return late or any(one.loss.device.type == "cpu" for one in self._waiting)

    def flush(self) -> None:
        """Read back and tell all steps that wait.

        Raises:
            DivergedError: a loss is no number, or has left for good.
        """
        waiting, self._waiting = self._waiting, []
        self._read_at = time.monotonic()
        if not waiting:
            return
        losses = torch.stack([one.loss.float() for one in waiting]).tolist()
        norms = torch.stack([one.norm.float() for one in waiting]).tolist()
        for one, loss, norm in zip(waiting, losses, norms, strict=True):
            if not math.isfinite(loss):
                raise no_number("loss", one.step - 1)
            self._tell(one, loss, norm)
            self._watch.look(one.step, loss)

    def _tell(self, one: _Waiting, loss: float, norm: float) -> None:
        if self._at is not None:
            self._seconds += one.at - self._at
        self._at = one.at
        self._losses.append(loss)
        self._tokens += one.tokens
        if one.step % self._every and one.step not in (1, self._plan.steps):
            return
        spent = max(1e-6, self._seconds - self._told_seconds)
        self._listen(
            StepDone(
                step=one.step,
                steps=self._plan.steps,
                epoch=self.epoch(one.step),
                loss=sum(self._losses) / len(self._losses),
                learning_rate=one.rate,
                gradient_norm=norm if math.isfinite(norm) else None,
                tokens_per_second=self._tokens / spent,
                seconds=self._seconds,
            )
        )
        self._losses, self._tokens, self._told_seconds = [], 0, self._seconds

    def away(self, step: int, seconds: float) -> None:
        """An evaluation after `step` took so long; the clock of the training stood still."""
        self.evaluated = step
        if self._at is not None:
            self._at += seconds

    def epoch(self, step: int) -> float:
        """How many passes over the rows a step ends."""
        return step / max(1, self._plan.steps_per_epoch)

    def as_dict(self) -> dict[str, Any]:
        """What a resumed training needs of this."""
        return {"seconds": self._seconds, "evaluated": self.evaluated}

    def go_on_from(self, kept: dict[str, Any]) -> None:
        """Take over what `as_dict` gave."""
        self._seconds = self._told_seconds = float(kept["seconds"])
        self.evaluated = int(kept["evaluated"])
