"""From figures measured on the device to a forecast of the whole experiment: memory, time and disk; pure arithmetic."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from typing import Any, Self

from llm_studio.config import ExperimentConfig
from llm_studio.config.generated_rows import Costs, generated_rows

MARGIN = 0.05
"""Share of the measured peak that is to stay free beyond it: an allocator's fragments differ from start to start."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a pre-flight measured; nothing of it depends on epochs, learning rate or how often the model is scored.

    measured_at: epoch seconds. device_bytes: memory of the device; available_bytes: what of it this experiment could
    have. peak_bytes: the most that was in use (a GPU: by torch; a CPU: by the process), base_bytes: before the first
    step; scoring_peak_bytes: while `generated_rows` were scored, of which each takes answer_bytes, `answers_at_once` at
    most. weight_bytes: of the backbone. step_rows: the batch size, or what of it fitted when memory ran out;
    rows_at_once: those in a micro-batch of the heaviest step. rows: to learn from. first_step_seconds: what the first
    step took longer than a usual one. likelihood_seconds: the perplexity of all rows to score. answer_seconds,
    untouched_answer_seconds: all answers of one evaluation of the tuned model, and of the untouched backbone, of
    `generated_rows` rows among `scored_rows`. base_scores: under which name the scores of the latter are kept, their
    number of answers left out. judge_seconds: for the grade of an answer.
    checkpoint_bytes, checkpoint_seconds: one of "best" and "last"; resume_*: the state to go on from.
    """

    measured_at: float
    device: str
    device_bytes: int
    available_bytes: int
    peak_bytes: int
    scoring_peak_bytes: int
    answer_bytes: int
    answers_at_once: int
    base_bytes: int
    weight_bytes: int
    step_rows: int
    rows_at_once: int
    rows: int
    start_seconds: float
    first_step_seconds: float
    step_seconds: float
    steps_timed: int
    likelihood_seconds: float
    answer_seconds: float
    untouched_answer_seconds: float
    generated_rows: int
    scored_rows: int
    base_scores: str
    checkpoint_bytes: int
    checkpoint_seconds: float
    resume_bytes: int
    resume_seconds: float
    free_disk_bytes: int
    judge_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self | None:
        """The figures in what `as_dict` gave; None when another version of the studio wrote it."""
        return cls(**values) if set(values) == {field.name for field in fields(cls)} else None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the experiment will take. memory_bytes: at its peak. fits: with a margin, on the device and on the disk.

    steps, evaluations: of the training; `scored` counts the untouched backbone too, where it is scored;
    `generated_rows` get an answer each time.
    disk_bytes: the most that checkpoints take at once.
    """

    memory_bytes: int
    device_bytes: int
    available_bytes: int
    fits_memory: bool
    fits_disk: bool
    steps: int
    step_seconds: float
    scored: int
    generated_rows: int
    start_seconds: float
    training_seconds: float
    scoring_seconds: float
    saving_seconds: float
    disk_bytes: int
    free_disk_bytes: int

    @property
    def seconds(self) -> float:
        """From start to end."""
        return self.start_seconds + self.training_seconds + self.scoring_seconds + self.saving_seconds

    @property
    def fits(self) -> bool:
        """Whether it can run to its end."""
        return self.fits_memory and self.fits_disk


def forecast(
    measured: Measured, config: ExperimentConfig, *, steps: int, evaluations: int, base_scores_known: bool
) -> Forecast:
    """The whole experiment. steps, evaluations: of the plan (`make_plan`), the untouched backbone not counted.

    base_scores_known: an earlier experiment has left the scores of the untouched backbone on these rows.
    """
    training = config.training
    before = training.evaluate_before_training and not base_scores_known
    rows = answers_of(measured, config, steps=steps, evaluations=evaluations)
    measured_rows = max(1, measured.generated_rows)
    scoring = evaluations * (measured.likelihood_seconds + measured.answer_seconds * rows / measured_rows)
    if before:
        scoring += measured.likelihood_seconds + measured.untouched_answer_seconds * rows / measured_rows
    scoring += (evaluations + int(before)) * rows * measured.judge_seconds
    kept = {"last": 1, "best_and_last": 2}.get(training.save_checkpoint, 2 + evaluations)
    written = 1 + (evaluations if kept > 1 else 0) + max(0, kept - 2)
    memory = max(measured.peak_bytes, scoring_bytes(measured, rows))
    return Forecast(
        memory_bytes=memory,
        device_bytes=measured.device_bytes,
        available_bytes=measured.available_bytes,
        fits_memory=fits_memory(measured, config, memory),
        fits_disk=measured.free_disk_bytes >= disk_bytes(measured, kept),
        steps=steps,
        step_seconds=measured.step_seconds,
        scored=evaluations + int(before),
        generated_rows=rows,
        start_seconds=measured.start_seconds,
        training_seconds=steps * measured.step_seconds + (measured.first_step_seconds if steps else 0.0),
        scoring_seconds=scoring,
        saving_seconds=written * measured.checkpoint_seconds + evaluations * measured.resume_seconds,
        disk_bytes=disk_bytes(measured, kept),
        free_disk_bytes=measured.free_disk_bytes,
    )


def costs_of(measured: Measured, *, steps: int, evaluations: int) -> Costs:
    """What answers cost, as measured."""
    return Costs(
        training_seconds=steps * measured.step_seconds,
        evaluations=evaluations,
        likelihood_seconds=measured.likelihood_seconds,
        answer_seconds=measured.answer_seconds / max(1, measured.generated_rows) + measured.judge_seconds,
    )


def answers_of(measured: Measured, config: ExperimentConfig, *, steps: int, evaluations: int) -> int:
    """How many rows get an answer at each evaluation."""
    return generated_rows(config, measured.scored_rows, costs_of(measured, steps=steps, evaluations=evaluations))


def scoring_bytes(measured: Measured, rows: int) -> int:
    """The peak while so many rows are answered, which need not be as many as were tried."""
    most = measured.answers_at_once
    return measured.scoring_peak_bytes + measured.answer_bytes * (min(rows, most) - min(measured.generated_rows, most))


def fits_memory(measured: Measured, config: ExperimentConfig, memory_bytes: int) -> bool:
    """Whether the batch size could be had, and the peak with a margin."""
    whole = measured.step_rows >= config.training.batch_size
    return whole and memory_bytes * (1 + MARGIN) <= measured.available_bytes


def disk_bytes(measured: Measured, kept: int) -> int:
    """`kept` checkpoints, one more while it is written beside the old one, and two states to go on from."""
    return (kept + 1) * measured.checkpoint_bytes + 2 * measured.resume_bytes


def typical_seconds(costs: Sequence[float], seconds: Sequence[float], mean_cost: float) -> float:
    """Seconds of a piece of work of mean cost, from timed pieces of different cost.

    Fits seconds = a + b x cost with the median of all slopes (Theil 1950, Sen 1968), so that one disturbed piece does
    not move it; b and a are not negative, since more work takes longer. costs: tokens, say; at least one piece.
    """
    slopes = [
        (seconds[right] - seconds[left]) / (costs[right] - costs[left])
        for left, right in combinations(range(len(costs)), 2)
        if costs[right] != costs[left]
    ]
    steepest = min((spent / cost for cost, spent in zip(costs, seconds, strict=True) if cost > 0), default=0.0)
    slope = min(max(0.0, statistics.median(slopes) if slopes else 0.0), steepest)
    return slope * mean_cost + statistics.median(
        spent - slope * cost for cost, spent in zip(costs, seconds, strict=True)
    )


def evenly_spread(costs: Sequence[float], wanted: int) -> list[int]:
    """Numbers of `wanted` pieces of work whose costs lie evenly among all costs, cheap and dear alike; fewer when there
    are fewer."""
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    wanted = min(wanted, len(order))
    return [order[math.floor((place + 0.5) * len(order) / wanted)] for place in range(wanted)]
