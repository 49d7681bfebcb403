"""Trains a model: a thin subclass of transformers' Trainer that tells what happens and can be stopped at any batch."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled, UserError
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.training.batches import Collate, Samples
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Listener, Note, StepDone
from llm_studio.training.schedules import make_optimizer, rate_factor

ARGUMENTS_FILE = "training_args.bin"  # pickled by transformers and never needed again


class DivergedError(UserError):
    """The loss or its gradient is no number any more; the weights are those of the last good step."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"{what} is no number any more after step {step}.",
            where="training.learning_rate",
            fix="Lower the learning rate, lengthen the warm-up, turn gradient clipping on, or turn mixed precision "
            "off. The state before it happened is kept.",
        )


@dataclass(frozen=True)
class Plan:
    """Optimiser steps of an experiment, and after which of them the model is scored."""

    steps: int
    steps_per_epoch: int
    evaluations: frozenset[int]


def make_plan(config: ExperimentConfig, rows: int) -> Plan:
    """The last partial accumulation of an epoch counts as a step; the last step is always scored."""
    training = config.training
    batches = math.ceil(rows / training.batch_size)
    per_epoch = math.ceil(batches / training.grad_accumulation)
    steps = per_epoch * training.epochs
    every = max(1, round(training.evaluation_epochs * per_epoch))
    due = {step for step in range(every, steps + 1, every) if steps - step >= every // 2} | (
        {steps} if steps else set()
    )
    return Plan(steps, per_epoch, frozenset(due))


def train(
    model: Any,
    samples: Sequence[Sample],
    config: ExperimentConfig,
    *,
    folder: Path,
    device: str,
    pad_id: int,
    autocast: torch.dtype | None,
    listen: Listener,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train, from the state in `folder` when there is one; False when it was stopped, with its state saved there.

    Raises:
        UserError: the loss is no number any more.
    """
    plan = make_plan(config, len(samples))
    trainer = StudioTrainer(
        model=model,
        args=_arguments(config, folder, device, autocast),
        train_dataset=Samples(samples),
        data_collator=Collate(pad_id),
        plan=plan,
        config=config,
        listen=listen,
        should_stop=should_stop,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Tells(trainer))
    resume = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if resume is not None:
        listen(Note(f"Going on from step {resume.rpartition('-')[2]} of {plan.steps}."))
    try:
        trainer.train(resume_from_checkpoint=resume)
    except Cancelled:
        trainer.save_state_to_resume()
        return False
    return True


def _arguments(config: ExperimentConfig, folder: Path, device: str, autocast: torch.dtype | None) -> TrainingArguments:
    training = config.training
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.grad_accumulation,
        num_train_epochs=training.epochs,
        learning_rate=training.learning_rate,
        max_grad_norm=training.gradient_clip,
        neftune_noise_alpha=config.augmentation.neftune_noise_alpha or None,
        bf16=autocast is torch.bfloat16,
        fp16=autocast is torch.float16,
        use_cpu=device == "cpu",
        seed=config.environment.seed,
        data_seed=config.environment.seed,
        dataloader_num_workers=config.environment.number_of_workers,
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        logging_strategy="steps",
        logging_steps=config.logging.log_every_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=1,
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


class StudioTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer with our optimiser, schedule, loss average and stop."""

    def __init__(
        self,
        *,
        plan: Plan,
        config: ExperimentConfig,
        listen: Listener,
        should_stop: Callable[[], bool],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.plan = plan
        self.config = config
        self.listen = listen
        self.should_stop = should_stop
        self.tokens_seen = 0
        self.seconds_away = 0.0
        self.evaluated = -1
        self.optimizer: torch.optim.Optimizer | None
        self.lr_scheduler: Any

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimiser of the settings."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model, self.config.training)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the settings, in optimiser steps."""
        if self.lr_scheduler is None:
            training = self.config.training
            warmup = round(training.warmup_epochs * self.plan.steps_per_epoch)
            factor = rate_factor(
                training.schedule, steps=self.plan.steps, warmup_steps=warmup, floor=training.min_learning_rate_ratio
            )
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch; the stop is looked at before it.

        Raises:
            Cancelled: the user asked to stop. DivergedError: the loss is no number.
        """
        if self.should_stop():
            raise Cancelled
        self.tokens_seen += int(inputs["attention_mask"].sum())
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise DivergedError("The loss", self.state.global_step)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        """Length of the gradient, looked at before the weights follow it. With float16 the scaler skips such steps.

        Raises:
            DivergedError: it is no number.
        """
        norm = float(super()._get_grad_norm(model, grad_norm=grad_norm))
        if not math.isfinite(norm) and not self.args.fp16:
            raise DivergedError("The gradient", self.state.global_step)
        return norm

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        """The evaluation comes after the step has been told; called again at the end of an epoch."""
        super()._maybe_log_save_evaluate(*arguments, **named)
        step = self.state.global_step
        if step in self.plan.evaluations and step != self.evaluated and step != self.plan.steps:
            self.evaluate_now()

    def evaluate_now(self) -> None:
        """Let the listener score the model as it will be used, without autocast; then save a state to go on from."""
        began = time.monotonic()
        self.evaluated = self.state.global_step
        last = self.evaluated == self.plan.steps
        with plain_forward(self.model):
            self.listen(EvaluationDue(self.evaluated, float(self.state.epoch or 0.0), last))
        if not last:
            self.save_state_to_resume()
        self.seconds_away += time.monotonic() - began

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Any:
        """Learned tokens of the whole optimiser step; the first token of a row is never one."""
        return sum((batch["labels"][:, 1:] != IGNORE_INDEX).sum() for batch in batch_samples).to(device)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        Path(output_dir or self.args.output_dir, ARGUMENTS_FILE).unlink(missing_ok=True)

    def save_state_to_resume(self) -> None:
        """Write everything needed to go on from the last optimiser step."""
        self._save_checkpoint(self.model, trial=None)
        self.listen(CheckpointSaved(self.state.global_step))


@contextmanager
def plain_forward(model: Any) -> Iterator[None]:
    """The model without the autocast that accelerate puts around its forward, as it is once it is loaded again."""
    wrapped = model.__dict__.get("forward") if "_original_forward" in model.__dict__ else None
    if wrapped is None:
        yield
        return
    del model.forward
    try:
        yield
    finally:
        model.forward = wrapped


class Tells(TrainerCallback):  # type: ignore[misc]
    """Turns the Trainer's callbacks into events."""

    def __init__(self, trainer: StudioTrainer) -> None:
        self._trainer = trainer
        self._began = time.monotonic()
        self._last = 0.0
        self._tokens = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        """A point of the charts; evaluations do not count in its time."""
        if not logs or "loss" not in logs:
            return
        now = time.monotonic() - self._began - self._trainer.seconds_away
        tokens, self._tokens = self._trainer.tokens_seen - self._tokens, self._trainer.tokens_seen
        spent, self._last = max(1e-6, now - self._last), now
        norm = logs.get("grad_norm")
        self._trainer.listen(
            StepDone(
                step=state.global_step,
                steps=self._trainer.plan.steps,
                epoch=float(state.epoch or 0.0),
                loss=float(logs["loss"]),
                learning_rate=float(logs.get("learning_rate", 0.0)),
                gradient_norm=None if norm is None else float(norm),
                tokens_per_second=tokens / spent,
                seconds=now,
            )
        )

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The last evaluation; also when an experiment goes on that was stopped in it."""
        if state.global_step == self._trainer.plan.steps:
            self._trainer.evaluate_now()
