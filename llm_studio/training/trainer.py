"""The training loop: draws the rows of an optimiser step, takes the step, tells what happened, and can stop and go on.

It is our own and not transformers' Trainer, since the rows of a step are drawn before they are packed (so the number of
micro-batches varies), a resumed training is to give the same numbers bit by bit, nothing is read back from the device
in each step, and whole and sharded models are trained by torch itself on any device.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.dropout import draw_fewer
from llm_studio.modeling.kernels import offer_compiling
from llm_studio.modeling.loading import is_out_of_memory
from llm_studio.modeling.recomputing import recompute, recomputes
from llm_studio.tokens.sample import Sample
from llm_studio.training.batches import Layout
from llm_studio.training.checkpoints import Checkpoints, State
from llm_studio.training.divergence import DivergedError, no_number
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Listener, Note
from llm_studio.training.feed import Feed, Step
from llm_studio.training.forward import Forward
from llm_studio.training.plan import make_plan
from llm_studio.training.progress import Progress
from llm_studio.training.schedules import make_optimizer, rate_factor

OFFERED_AFTER = 20
"""Steps from which the time of the rest is told, for a hint at compiling."""


class OutOfMemoryError(UserError):
    """One row alone does not fit into the device's memory."""

    def __init__(self, device: str, tokens: int) -> None:
        super().__init__(
            f"{device} ran out of memory on a single row of {tokens:,} tokens.",
            where="tokenizer.max_length",
            fix="Lower the longest conversation, or load the backbone in int8 or int4; gradient checkpointing did not "
            "suffice.",
        )


class Trainer:
    """Trains `model` on `samples`; all that it needs to go on lies in `folder`."""

    def __init__(
        self,
        model: Any,
        samples: Sequence[Sample],
        config: ExperimentConfig,
        *,
        folder: Path,
        device: str,
        pad_id: int,
        autocast: torch.dtype | None,
        listen: Listener,
        packed: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        training = config.training
        self.model, self.config, self.device = model, config, torch.device(device)
        self.plan = make_plan(config, len(samples))
        if self.device.type == "cpu":
            draw_fewer(model)
        layout = Layout(packed, training.batch_size, pad_id, training.loss_function)
        self.feed = Feed(samples, self.plan.order, layout)
        self.optimizer = make_optimizer(model, training)
        self._peaks = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._factor = rate_factor(
            training.schedule,
            steps=self.plan.steps,
            warmup_steps=round(training.warmup_epochs * self.plan.steps_per_epoch),
            floor=training.min_learning_rate_ratio,
        )
        self._trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._scaler = torch.amp.GradScaler(device=self.device.type, enabled=autocast is torch.float16)
        self._checkpoints = Checkpoints(folder)
        self._listen, self._should_stop = listen, should_stop
        alpha = config.augmentation.neftune_noise_alpha
        self.forward = Forward(
            model,
            device=self.device,
            autocast=autocast,
            packed=packed,
            noise_alpha=alpha,
            compiles=config.environment.compile_model,
        )
        self._most_rows = training.batch_size
        self._step = 0
        self._offered = False
        self._saved_at = time.monotonic()
        self._progress = Progress(config, self.plan, listen)

    def run(self) -> bool:
        """Train from the newest state to the end; False when it was stopped, with its state saved.

        Raises:
            DivergedError: the loss or gradient is no number, or left for good. OutOfMemoryError: a single row is too
            large. UserError: the disk has no room for a checkpoint.
        """
        self._go_on_from(self._checkpoints.newest())
        self._checkpoints.need_room(3 * sum(4 * weight.numel() for weight in self._trained.values()))
        try:
            enough = False
            while not enough and self._step < self.plan.steps:
                if self._step in self.plan.evaluations and self._step != self._progress.evaluated:
                    enough = self._evaluate(last=False)
                else:
                    self._train()
            if not enough:
                self._evaluate(last=True)
        except Cancelled:
            self._progress.flush()
            self.save()
            return False
        return True

    def step_on(self, samples: Sequence[Sample]) -> torch.Tensor:
        """One optimiser step on exactly these rows, as in training; gives its loss, [] on the device.

        Raises:
            DivergedError, OutOfMemoryError: as in `run`.
        """
        self.model.train()
        with self.forward:
            return self._take(self.feed.made_of(samples, self._step))[0]

    def back_to_good(self, error: DivergedError) -> int | None:
        """Set the weights back to the last ones that are not spoilt; gives their step, None when there are none."""
        finite = all(bool(torch.isfinite(weight).all()) for weight in self._trained.values())
        if finite and not error.rose:
            return self._step
        state = self._checkpoints.newest()
        if state is not None:
            self._set_weights(state)
        return None if state is None else state.step

    def save(self) -> None:
        """Write the state to go on from.

        Raises:
            UserError: the disk has no room for it.
        """
        progress = self._progress.as_dict() | {"most_rows": self._most_rows, "scale": self._scaler.state_dict()}
        progress["recomputes"] = recomputes(self.model)
        weights = {name: weight.detach().cpu() for name, weight in self._trained.items()}
        self._checkpoints.save(State(self._step, weights, self.optimizer.state_dict(), progress))
        self._saved_at = time.monotonic()
        self._listen(CheckpointSaved(self._step))

    def _train(self) -> None:
        """Steps up to the next evaluation, the end, or where micro-batches have become smaller."""
        most_rows = self._most_rows
        last = min(step for step in (*self.plan.evaluations, self.plan.steps) if step > self._step)
        workers = self.config.environment.number_of_workers
        first, started = self._step, time.monotonic()
        self.model.train()
        with self.forward:
            for step in self.feed.steps(self._step, last, workers=workers, pin=self.device.type == "cuda"):
                began = time.monotonic()
                loss, norm = self._take(step)
                self._step += 1
                self._progress.add(self._step, loss, norm, self.optimizer.param_groups[0]["lr"], step.tokens, began)
                if self._step == first + OFFERED_AFTER:
                    self._offer_compiling((time.monotonic() - started) / OFFERED_AFTER)
                if self._step < last and self._is_time_to_save():
                    self._progress.flush()
                    self.save()
                if self._most_rows != most_rows:
                    return

    def _take(self, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step: (loss, length of the gradient), both [] on the device.

        When the device's memory runs out, the step is taken again in smaller micro-batches: it has changed nothing yet,
        and its random numbers are a function of its number.
        """
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._factor(self._step)
        while True:
            try:
                loss = self._gradient(step)
                break
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.optimizer.zero_grad(set_to_none=True)
            step = self._smaller(step)
        return loss, self._follow(loss)

    def _gradient(self, step: Step) -> torch.Tensor:
        """Adds up the gradient of the step; gives its loss."""
        torch.manual_seed(seed_of(self.config.environment.seed, self._step, self.feed.layout.rank))
        losses = []
        for batch in step.batches:
            if self._should_stop():
                self.optimizer.zero_grad(set_to_none=True)
                raise Cancelled
            loss = self.forward.loss(batch.to(self.device) if self.device.type != "cpu" else batch)
            self._scaler.scale(loss).backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _follow(self, loss: torch.Tensor) -> torch.Tensor:
        """Moves the weights along the gradient; gives its length before clipping.

        Raises:
            DivergedError: on a CPU, where looking costs nothing, before the weights follow what is no number.
        """
        self._scaler.unscale_(self.optimizer)
        clip = self.config.training.gradient_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), clip)
        if self.device.type == "cpu":
            for what, value in (("loss", loss), ("gradient", norm)):
                if not math.isfinite(value):
                    raise no_number(what, self._step)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm.detach()

    def _smaller(self, step: Step) -> Step:
        """The same step in micro-batches of half as many rows, in the end with activations computed twice."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        rows = [self.feed.samples[row] for row in self.plan.order.of(step.number)]
        if self._most_rows > 1:
            self._set_most_rows(max(1, self._most_rows // 2))
            change = f"micro-batches hold {self._most_rows} rows. The rows of a step, and its result, stay the same"
        elif recompute(self.model):
            change = "gradient checkpointing is on, since one row alone is too large: slower, with the same result"
        else:
            raise OutOfMemoryError(str(self.device), max(len(row.input_ids) for row in rows))
        self._listen(Note(f"{self.device} ran out of memory in step {self._step + 1}: from here on {change}."))
        return self.feed.made_of(rows, step.number)

    def _evaluate(self, *, last: bool) -> bool:
        """Let the listener score the model as it will be used; True when it wants the training to end."""
        self._progress.flush()
        self.save()
        began = time.monotonic()
        answer = self._listen(EvaluationDue(self._step, self._progress.epoch(self._step), last))
        self._progress.away(self._step, time.monotonic() - began)
        return bool(answer)

    def _offer_compiling(self, seconds_per_step: float) -> None:
        if self._offered:
            return
        self._offered = True
        seconds = seconds_per_step * (self.plan.steps - self._step)
        if words := offer_compiling(self.device, seconds, compiles=self.config.environment.compile_model):
            self._listen(Note(words))

    def _is_time_to_save(self) -> bool:
        minutes = self.config.training.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self._saved_at >= 60 * minutes

    def _set_most_rows(self, rows: int) -> None:
        self._most_rows = rows
        self.feed = replace(self.feed, layout=replace(self.feed.layout, most_rows=rows))

    def _go_on_from(self, state: State | None) -> None:
        if state is None:
            return
        if set(state.weights) != set(self._trained):
            raise UserError(
                "The saved state belongs to an experiment that trains other weights.",
                where="checkpoints/resume",
                fix="Restart the experiment from the beginning, or set its LoRA settings back.",
            )
        self._set_weights(state)
        self.optimizer.load_state_dict(state.optimizer)
        self._scaler.load_state_dict(state.progress["scale"])
        self._step = state.step
        self._set_most_rows(int(state.progress["most_rows"]))
        if state.progress.get("recomputes"):
            recompute(self.model)
        self._progress.go_on_from(state.progress)
        self._listen(Note(f"Going on from step {state.step} of {self.plan.steps}."))

    def _set_weights(self, state: State) -> None:
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(state.weights[name])


def seed_of(seed: int, step: int, rank: int) -> int:
    """Seed of the random numbers (dropout, noise) that one process draws in one optimiser step, in [0, 2^63)."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
