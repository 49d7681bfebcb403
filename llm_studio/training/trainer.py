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
from llm_studio.modeling.heap import NowAndThen
from llm_studio.modeling.kernels import offer_compiling
from llm_studio.modeling.loading import is_out_of_memory
from llm_studio.modeling.recomputing import recompute, recomputes
from llm_studio.tokens.sample import Sample
from llm_studio.training.augmentation import Augmentation
from llm_studio.training.batches import Layout, most_tokens_at_once
from llm_studio.training.checkpoints import Checkpoints, State
from llm_studio.training.divergence import DivergedError
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Event, Listener, Note
from llm_studio.training.feed import Feed, Step
from llm_studio.training.forward import Forward
from llm_studio.training.memory import OutOfMemoryError, SharedOutOfMemoryError
from llm_studio.training.plan import make_plan
from llm_studio.training.processes import ALONE, Processes
from llm_studio.training.progress import Progress
from llm_studio.training.sharing import adding_up, copy_into, own_part, whole_on_cpu, wrapped
from llm_studio.training.updates import Updates

OFFERED_AFTER = 20
"""Steps from which the time of the rest is told, for a hint at compiling."""


class Trainer:
    """Trains `model` on `samples`; all that it needs to go on lies in `folder`.

    most_rows: of a micro-batch, when memory was too small for `batch_size`; the rows of a step stay the same.
    processes: that share each step. The first of them writes and tells; all listen to `EvaluationDue`.
    """

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
        augment: Augmentation | None = None,
        most_rows: int | None = None,
        processes: Processes = ALONE,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        training = config.training
        self.model, self.config, self.device = model, config, torch.device(device)
        self.plan = make_plan(config, len(samples))
        self._processes = processes
        self._most_rows = min(training.batch_size, most_rows or training.batch_size)
        if on_cpu := self.device.type == "cpu":
            draw_fewer(model)
        width = int(model.get_input_embeddings().weight.shape[-1])
        layout = Layout(
            packed, self._most_rows, pad_id, training.loss_function, processes.size, processes.rank,
            even=on_cpu, most_tokens=most_tokens_at_once(width) if on_cpu else None,
        )  # fmt: skip
        self.feed = Feed(samples, self.plan.order, layout, augment)
        self._called = wrapped(model, processes)
        self._trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._updates = Updates(model, self._trained.values(), training, self.plan, self.device.type, computed=autocast)
        self.optimizer = self._updates.optimizer
        self._checkpoints = Checkpoints(folder)
        self._listen: Listener = listen if processes.first else lambda event: _evaluates(listen, event)
        self._should_stop = should_stop
        self.forward = Forward(
            model,
            device=self.device,
            autocast=autocast,
            packed=packed,
            noise_alpha=config.augmentation.neftune_noise_alpha,
            compiles=config.environment.compile_model,
            called=self._called,
        )
        self._step = 0
        self._offered = False
        self._saved_at = time.monotonic()
        self._heap = NowAndThen()
        self._progress = Progress(config, self.plan, self._listen)

    def run(self) -> bool:
        """Train from the newest state to the end; False when it was stopped, with its state saved.

        Raises:
            DivergedError: the loss or gradient is no number, or left for good. OutOfMemoryError: a single row is too
            large. UserError: the disk has no room for a checkpoint.
        """
        self._go_on_from(self._checkpoints.newest())
        self._processes.wait()  # the first process replaces the state that the others have just read
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
            return self._take(self.feed.made_of(samples, self._step), samples)[0]

    def back_to_good(self, error: DivergedError) -> int | None:
        """Set the weights back to the last ones that are not spoilt; gives their step, None when there are none."""
        finite = all(bool(torch.isfinite(own_part(weight)).all()) for weight in self._trained.values())
        finite = self._processes.everywhere(finite)
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
        progress = self._progress.as_dict() | {"most_rows": self._most_rows, "scale": self._updates.scale()}
        progress["recomputes"] = recomputes(self.model)
        writes = self._processes.first
        weights = whole_on_cpu(self._trained, keep=writes)
        optimizer = whole_on_cpu(self.optimizer.state_dict(), keep=writes)
        if writes:
            self._checkpoints.save(State(self._step, weights, optimizer, progress))
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
                self._progress.add(self._step, loss, norm, self._updates.rate, step.tokens, began)
                if self._step == first + OFFERED_AFTER:
                    self._offer_compiling((time.monotonic() - started) / OFFERED_AFTER)
                reads, saves = self._processes.agreed(self._progress.is_due, self._is_time_to_save())
                saves = saves and self._step < last
                if reads or saves:
                    self._progress.flush()
                    self._heap.give_back()
                if saves:
                    self.save()
                if self._most_rows != most_rows:
                    return

    def _take(self, step: Step, samples: Sequence[Sample] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step: (loss, length of the gradient), both [] on the device.

        When the device's memory runs out, the step is taken again in smaller micro-batches: it has changed nothing yet,
        and its random numbers are a function of its number.
        """
        self._updates.prepare(self._step)
        while True:
            try:
                loss = self._gradient(step)
                break
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._processes.size > 1:
                    share = math.ceil(len(self.plan.order.of(step.number)) / self._processes.size)
                    raise SharedOutOfMemoryError(str(self.device), min(self._most_rows, share)) from error
                self._updates.forget()
            step = self._smaller(step, samples)
        return loss, self._updates.follow(loss, self._step)

    def _gradient(self, step: Step) -> torch.Tensor:
        """Adds up the gradient of the step; gives its loss, both over all processes."""
        torch.manual_seed(seed_of(self.config.environment.seed, self._step, self.feed.layout.rank))
        losses = []
        for number, batch in enumerate(step.batches, 1):
            if self._processes.agreed(self._should_stop())[0]:
                self._updates.forget()
                raise Cancelled
            with adding_up(self._called, last=number == len(step.batches)):
                loss = self.forward.loss(batch.to(self.device) if self.device.type != "cpu" else batch)
                self._updates.add(loss * self._processes.size)
            losses.append(loss.detach())
        return self._processes.summed(torch.stack(losses).sum())

    def _smaller(self, step: Step, samples: Sequence[Sample] | None) -> Step:
        """The same step in micro-batches of half as many rows, in the end with activations computed twice."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        rows = samples or self.feed.rows_of(step.number)
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
        return self._processes.agreed(bool(answer))[0]

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
        self._updates.go_on_from(state.optimizer, state.progress["scale"])
        self._step = state.step
        self._set_most_rows(min(self._most_rows, int(state.progress["most_rows"])))
        if state.progress.get("recomputes"):
            recompute(self.model)
        self._progress.go_on_from(state.progress)
        self._listen(Note(f"Going on from step {state.step} of {self.plan.steps}."))

    def _set_weights(self, state: State) -> None:
        for name, weight in self._trained.items():
            copy_into(weight, state.weights[name])


def _evaluates(listen: Listener, event: Event) -> bool | None:
    """What a process that is not the first listens to: all take part in an evaluation, one tells the rest."""
    return listen(event) if isinstance(event, EvaluationDue) else None


def seed_of(seed: int, step: int, rank: int) -> int:
    """Seed of the random numbers (dropout, noise) that one process draws in one optimiser step, in [0, 2^63)."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
