"""Turns the training's events into charts, progress, evaluations and checkpoints."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_studio.evaluation.judge import METRIC as JUDGED
from llm_studio.evaluation.scores import is_better
from llm_studio.modeling.adapter_start import save_model
from llm_studio.modeling.devices import memory_bytes
from llm_studio.modeling.loading import REPLACED
from llm_studio.modeling.origin import Origin, write_origin
from llm_studio.store import ExperimentRecord
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Event, Note, StepDone
from llm_studio.training.plan import Plan
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.job_together import whole_weights

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
        origin: Origin,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._folder = folder
        self._record = record
        self._plan = plan
        self._evaluations = evaluations
        self._reporter = reporter
        self._origin = origin  # where the training begins: its step and epoch, and the backbone's weights
        self._now = origin.step
        self._evaluation_seconds: list[float] = []
        self._first: StepDone | None = None
        rows = reporter.charts.read(kinds=("evaluation",))  # of the parts before, when the experiment is continued
        self._scored: dict[int, Mapping[str, Any]] = {int(row["step"]): row for _, _, row in rows}

    def __call__(self, event: Event) -> bool | None:
        if not isinstance(event, Note):
            self._now = event.step
        if isinstance(event, StepDone):
            self._step(event)
        elif isinstance(event, EvaluationDue):
            return self.evaluate(event.step, event.epoch, last=event.last)
        elif isinstance(event, Note):
            self._reporter.note(event.text)
        elif isinstance(event, CheckpointSaved):
            self._reporter.charts.append(
                "checkpoint", {"step": event.step, "path": "resume", "reason": "to go on from"}
            )
        return None

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

    def evaluate(self, step: int, epoch: float, *, last: bool) -> bool:
        """Score the model, and keep its state as the last one and, if it is, as the best; True when the experiment has
        stopped getting better and is to end early."""
        config = self._evaluations.config
        if last:
            self.save("last", reason="end of training", step=step)
        if config.training.save_checkpoint == "each_evaluation_epoch":
            self.save(f"step-{step:08d}", reason="evaluation", step=step)
        values = self._evaluations.score(self._model, step, epoch, "last", prefix=f"Step {step}. ")
        first = self._evaluations.processes.first
        if first:
            self._evaluation_seconds.append(float(values["seconds"]))
            self._scored[step] = values
        better = first and is_better(values, self._evaluations.best(), config.prediction.metric)
        better, enough = self._evaluations.processes.agreed(better, first and not last and self._is_enough(step))
        if better and config.training.save_checkpoint != "last":
            self.save("best", reason=f"best {config.prediction.metric} so far", step=step)
        if better and first:  # only now: an end in between would leave scores of a checkpoint that is not there
            self._evaluations.keep_best(values)
        if not enough:
            return False
        patience, metric = config.training.early_stopping_patience, config.prediction.metric
        self._reporter.note(f"Ended early: {metric} has not improved for {patience} evaluations.")
        self.save("last", reason="ended early", step=step)
        return True

    def _is_enough(self, step: int) -> bool:
        """Whether the metric has not improved for as many evaluations as patience allows."""
        config = self._evaluations.config
        patience = config.training.early_stopping_patience
        if not patience:
            return False
        best: Mapping[str, Any] | None = None
        since = 0
        for one in sorted(one for one in self._scored if 0 < one <= step):
            if config.prediction.metric == JUDGED and self._scored[one].get(JUDGED) is None:
                continue  # the judge was away, which says nothing about the model
            better = is_better(self._scored[one], best, config.prediction.metric)
            best, since = (self._scored[one], 0) if better else (best, since + 1)
            if one <= self._origin.step:  # before more epochs were added
                since = 0
        return since >= patience

    def save(self, name: str, *, reason: str, step: int = -1) -> None:
        """Write a checkpoint beside the old one and swap them; `loading.checkpoint_of` knows the old one's name. All
        processes must ask, the first writes."""
        weights = whole_weights(self._model, self._evaluations.processes)
        if not self._evaluations.processes.first:
            return
        target = self._folder / "checkpoints" / name
        beside, old = target.with_name(f"{name}.part"), target.with_name(f"{name}{REPLACED}")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_model(self._model, beside, weights)
        self._tokenizer.save_pretrained(str(beside))
        write_origin(beside, self._origin_at(step if step >= 0 else self._now))
        shutil.rmtree(old, ignore_errors=True)
        if target.is_dir():
            target.rename(old)
        beside.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        self._reporter.charts.append("checkpoint", {"step": step, "path": name, "reason": reason})

    def _origin_at(self, step: int) -> Origin:
        """What a checkpoint of this step says of itself."""
        epochs = (step - self._origin.step) / max(1, self._plan.steps_per_epoch)
        return replace(self._origin, step=step, epoch=round(self._origin.epoch + epochs, 4))
