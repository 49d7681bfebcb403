"""Measures an experiment on its device, before it trains: real optimiser steps, the pace of scoring, checkpoints."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.evaluation.scoring import Question
from llm_studio.modeling.heap import give_back
from llm_studio.tokens.stored import StoredSamples
from llm_studio.tokens.template import Template
from llm_studio.training.batches import Layout, filled
from llm_studio.training.forecast import Measured
from llm_studio.training.trainer import Trainer
from llm_studio.worker.preflight_memory import (
    available_bytes,
    bytes_now,
    device_bytes,
    forget_peak,
    of_an_experiment,
    peak_bytes,
)
from llm_studio.worker.preflight_saving import write_checkpoint, write_state
from llm_studio.worker.preflight_scoring import ScoringTimes, time_scoring
from llm_studio.worker.preflight_steps import PlannedStep, heaviest, planned_steps, time_steps

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What an experiment has in hand when it is about to train. model: trainable. base_scores: the name under which
    scores of the untouched backbone are kept. judge_seconds: for the grade of one answer; 0 where nobody judges."""

    config: ExperimentConfig
    model: Any
    template: Template
    samples: StoredSamples
    questions: Sequence[Question]
    device: str
    autocast: torch.dtype | None
    packed: bool
    base_scores: str
    judge_seconds: float = 0.0


def measure(
    subject: Subject,
    folder: Path,
    *,
    start_seconds: float,
    tell: Tell = lambda words: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Measured:
    """Take steps, score some rows, write a checkpoint. It changes the weights; see `preflight_saving.undisturbed`.

    folder: for what is written meanwhile; gone afterwards. start_seconds: from the start of the process until the model
    could be trained, without what only a first experiment does.

    Raises:
        Cancelled: `should_stop` said so. DivergedError: the loss is no number after a few steps. OutOfMemoryError: not
        even one row fits.
    """
    device, base = subject.device, bytes_now(subject.device)
    try:
        trainer = trainer_of(subject, folder / "states", should_stop)
        steps = steps_of(subject, trainer)
        times = time_steps(steps, subject.samples, trainer.step_on, device=device, tell=tell, should_stop=should_stop)
        tell("Writing a checkpoint")
        checkpoint = write_checkpoint(subject.model, subject.template.tokenizer, folder)
        state, free_disk = write_state(trainer, folder / "states"), shutil.disk_usage(folder).free
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tell("Scoring some rows")
    peak, (scoring, scoring_peak) = peak_bytes(device), scored(subject, should_stop)
    return Measured(
        measured_at=time.time(),
        device=device,
        device_bytes=device_bytes(device),
        available_bytes=available_bytes(device),
        peak_bytes=of_an_experiment(peak, device),
        scoring_peak_bytes=of_an_experiment(scoring_peak, device),
        answer_bytes=scoring.answer_bytes,
        answers_at_once=scoring.answers_at_once,
        base_bytes=base,
        weight_bytes=sum(weight.numel() * weight.element_size() for weight in subject.model.parameters()),
        step_rows=trainer.feed.layout.most_rows,
        rows_at_once=rows_at_once(subject, trainer, steps),
        rows=len(subject.samples),
        start_seconds=start_seconds,
        first_step_seconds=times.first_seconds,
        step_seconds=times.step_seconds,
        steps_timed=times.timed,
        likelihood_seconds=scoring.likelihood,
        answer_seconds=scoring.answers,
        untouched_answer_seconds=scoring.untouched_answers,
        generated_rows=scoring.generated_rows,
        scored_rows=len(subject.questions),
        base_scores=subject.base_scores,
        judge_seconds=subject.judge_seconds,
        checkpoint_bytes=checkpoint.bytes_,
        checkpoint_seconds=checkpoint.seconds,
        resume_bytes=state.bytes_,
        resume_seconds=state.seconds,
        free_disk_bytes=free_disk,
    )


def scored(subject: Subject, should_stop: Callable[[], bool]) -> tuple[ScoringTimes, int]:
    """The pace of scoring, and the peak memory of scoring alone; of all before too where a peak cannot be forgotten."""
    give_back()  # as the experiment does
    forget_peak(subject.device)
    found = time_scoring(subject.model, subject.template, subject.questions, subject.config, should_stop=should_stop)
    return found, peak_bytes(subject.device) + found.more_bytes


def trainer_of(subject: Subject, folder: Path, should_stop: Callable[[], bool]) -> Trainer:
    """A trainer with a fresh optimiser, as the experiment makes it."""
    return Trainer(
        subject.model,
        subject.samples,
        subject.config,
        folder=folder,
        device=subject.device,
        pad_id=subject.template.pad_id,
        autocast=subject.autocast,
        packed=subject.packed,
        listen=lambda event: None,
        should_stop=should_stop,
    )


def steps_of(subject: Subject, trainer: Trainer) -> list[PlannedStep]:
    """The steps that the experiment will take; those of one epoch when it trains for none."""
    tokens, learned = (array.tolist() for array in subject.samples.lengths())
    steps = trainer.plan.steps or trainer.plan.steps_per_epoch
    return planned_steps(steps, trainer.plan.order.of, tokens, learned, areas_of(trainer.feed.layout))


def rows_at_once(subject: Subject, trainer: Trainer, steps: Sequence[PlannedStep]) -> int:
    """In the fullest micro-batch of the heaviest step."""
    tokens = subject.samples.lengths()[0].tolist()
    shares = trainer.feed.layout.shares([tokens[row] for row in heaviest(steps)[0].rows])
    return max(len(places) for places in shares[0])


def areas_of(layout: Layout) -> Callable[[Sequence[int]], list[int]]:
    """For the lengths of a step's rows: tokens that each of its micro-batches computes."""

    def areas(lengths: Sequence[int]) -> list[int]:
        held = [[lengths[place] for place in places] for places in layout.shares(lengths)[0] if places]
        return [filled(sum(one)) if layout.packed else len(one) * max(one) for one in held]

    return areas


def process_seconds() -> float:
    """How long this process has run."""
    return time.time() - float(psutil.Process().create_time())
