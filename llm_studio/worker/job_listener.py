"""Turns the training's events into charts, progress, evaluations and checkpoints."""

import shutil
from pathlib import Path
from typing import Any

import torch

from llm_studio.evaluation.scores import is_better
from llm_studio.modeling.devices import memory_bytes
from llm_studio.store import ExperimentRecord
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Event, Note, StepDone
from llm_studio.training.trainer import Plan
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_reporting import Reporter

LOG_LINES = 50
"""Lines of the log that tell of steps; every step is in the charts."""


class TrainingListener:
    """Called with each event, in the trainer's thread."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        folder: Path,
        record: ExperimentRecord,
        plan: Plan,
        evaluations: Evaluations,
        reporter: Reporter,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._folder = folder
        self._record = record
        self._plan = plan
        self._evaluations = evaluations
        self._reporter = reporter
        self._evaluation_seconds: list[float] = []
        self._first: StepDone | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self._step(event)
        elif isinstance(event, EvaluationDue):
            self.evaluate(event.step, event.epoch, last=event.last)
        elif isinstance(event, Note):
            self._reporter.note(event.text)
        elif isinstance(event, CheckpointSaved):
            self._reporter.charts.append(
                "checkpoint", {"step": event.step, "path": "resume", "reason": "to go on from"}
            )

    def _step(self, event: StepDone) -> None:
        self._reporter.charts.append(
            "step",
            {
                "step": event.step,
                "epoch": event.epoch,
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "gradient_norm": event.gradient_norm,
                "tokens_per_second": event.tokens_per_second,
                "memory_bytes": memory_bytes(self._record.device),
                "seconds": event.seconds,
            },
        )
        self._first = self._first or event
        if event.step % max(1, event.steps // LOG_LINES) == 0 or event.step in (1, event.steps):
            self._reporter.say(
                f"Step {event.step} of {event.steps}: loss {event.loss:.4f}, learning rate {event.learning_rate:.3g}, "
                f"{event.tokens_per_second:,.0f} tokens/s"
            )
        self._reporter.progress(event.step / event.steps, self._eta(event))

    def _eta(self, event: StepDone) -> float | None:
        """Seconds to the end: the pace of the steps so far, and the evaluations to come."""
        first = self._first
        if first is None or event.step == first.step:
            return None
        pace = (event.seconds - first.seconds) / (event.step - first.step)
        coming = sum(step > event.step for step in self._plan.evaluations)
        known = self._evaluation_seconds
        return pace * (event.steps - event.step) + coming * (sum(known) / len(known) if known else 0.0)

    def evaluate(self, step: int, epoch: float, *, last: bool) -> None:
        """Score the model, and keep its state as the last one and, if it is, as the best."""
        if last:
            self.save("last", reason="end of training")
        values = self._evaluations.score(self._model, step, epoch, "last", prefix=f"Step {step}. ")
        self._evaluation_seconds.append(float(values["seconds"]))
        keeps_best = self._evaluations.config.training.save_checkpoint in ("best", "best_and_last")
        if is_better(values, self._evaluations.best(), self._evaluations.config.prediction.metric):
            self._evaluations.keep_best(values)
            if keeps_best:
                self.save("best", reason=f"best {self._evaluations.config.prediction.metric} so far", step=step)

    def keep_last_good(self) -> None:
        """After a loss that is no number: keep the weights of the last step, unless they are broken too."""
        weights = (weight for weight in self._model.parameters() if weight.requires_grad)
        if all(bool(torch.isfinite(weight).all()) for weight in weights):
            self.save("last", reason="before the loss was no number")

    def save(self, name: str, *, reason: str, step: int = -1) -> None:
        """Write a checkpoint beside the old one and swap them."""
        target = self._folder / "checkpoints" / name
        beside = target.with_name(f"{name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        self._model.save_pretrained(str(beside))
        self._tokenizer.save_pretrained(str(beside))
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
        self._reporter.charts.append("checkpoint", {"step": step, "path": name, "reason": reason})
