"""How many optimiser steps an experiment takes, which rows each of them takes, and when the model is scored."""

from dataclasses import dataclass

from llm_studio.config import ExperimentConfig
from llm_studio.training.order import RowOrder


@dataclass(frozen=True)
class Plan:
    """Optimiser steps of an experiment, and after which of them the model is scored."""

    steps: int
    steps_per_epoch: int
    evaluations: frozenset[int]
    order: RowOrder


def make_plan(config: ExperimentConfig, rows: int) -> Plan:
    """A step takes batch size x accumulation rows; the last one of an epoch takes what is left. The last step is always
    scored."""
    training = config.training
    order = RowOrder(rows, training.batch_size * training.grad_accumulation, config.environment.seed)
    per_epoch = order.steps_per_epoch
    steps = per_epoch * training.epochs
    every = max(1, round(training.evaluation_epochs * per_epoch))
    due = {step for step in range(every, steps + 1, every) if steps - step >= every // 2} | (
        {steps} if steps else set()
    )
    return Plan(steps, per_epoch, frozenset(due), order)
