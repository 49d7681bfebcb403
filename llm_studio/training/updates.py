"""Moves the trained weights along their gradient: learning rates by the schedule, clipping, float16's scaling."""

import math
from collections.abc import Collection
from typing import Any

import torch

from llm_studio.config.training import Training
from llm_studio.training.divergence import no_number
from llm_studio.training.optimizers import make_optimizer
from llm_studio.training.plan import Plan
from llm_studio.training.schedules import rate_factor
from llm_studio.training.sharing import parted_state, whole


class Updates:
    """The optimiser of the settings on `weights`, those of `model` that are trained. computed: number type that the
    model is computed in, None for its own."""

    def __init__(
        self,
        model: Any,
        weights: Collection[torch.Tensor],
        training: Training,
        plan: Plan,
        device: str,
        *,
        computed: torch.dtype | None,
    ) -> None:
        self.optimizer = make_optimizer(model, training)
        self._weights, self._device = weights, device
        self._clip = training.gradient_clip or math.inf
        self._peaks = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._factor = rate_factor(
            training.schedule,
            steps=plan.steps,
            warmup_steps=round(training.warmup_epochs * plan.steps_per_epoch),
            floor=training.min_learning_rate_ratio,
        )
        computed = computed or model.get_input_embeddings().weight.dtype
        in_full = all(weight.dtype is torch.float32 for weight in weights)  # others cannot be scaled
        self._scaler = torch.amp.GradScaler(device=device, enabled=in_full and computed is torch.float16)

    @property
    def rate(self) -> float:
        """The learning rate of the last step, of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def prepare(self, step: int) -> None:
        """Set the learning rates of a step, counted from 0."""
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._factor(step)

    def add(self, loss: torch.Tensor) -> None:
        """Add the gradient of a part of the step's loss."""
        self._scaler.scale(loss).backward()

    def forget(self) -> None:
        """Drop the gradient."""
        self.optimizer.zero_grad(set_to_none=True)

    def follow(self, loss: torch.Tensor, step: int) -> torch.Tensor:
        """Move the weights along the gradient; gives its length before clipping, [] on the device.

        Raises:
            DivergedError: on a CPU, where looking costs nothing, before the weights follow what is no number.
        """
        self._scaler.unscale_(self.optimizer)
        norm = whole(torch.nn.utils.clip_grad_norm_(self._weights, self._clip))
        if self._device == "cpu":
            for what, value in (("loss", loss), ("gradient", norm)):
                if not math.isfinite(value):
                    raise no_number(what, step)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.forget()
        return norm.detach()

    def scale(self) -> dict[str, Any]:
        """The state of float16's scaling."""
        found: dict[str, Any] = self._scaler.state_dict()
        return found

    def go_on_from(self, optimizer: dict[str, Any], scale: dict[str, Any]) -> None:
        """Take over the state of the optimiser and of the scaling."""
        self.optimizer.load_state_dict(parted_state(optimizer, self.optimizer))
        self._scaler.load_state_dict(scale)
