"""Times real optimiser steps: the heaviest ones for the memory, some that stand for all others for the time."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from llm_studio.errors import Cancelled
from llm_studio.tokens.sample import Sample
from llm_studio.training.forecast import evenly_spread, typical_seconds

MOST_TIMED = 24
ENOUGH = ((9, 4.0), (3, 12.0))
"""So many timed steps are enough after so many seconds."""
MOST_PLANNED = 10_000
"""Steps that are looked through for the heaviest one."""

StepOn = Callable[[Sequence[Sample]], torch.Tensor]
"""One optimiser step on exactly these rows, as in training; gives its loss."""
Numbers = Sequence[int]


@dataclass(frozen=True)
class PlannedStep:
    """A step that the experiment will take. cost: tokens that are computed, padding included. load: of its largest
    micro-batch. learned: tokens that need logits."""

    rows: tuple[int, ...]
    cost: int
    load: int
    learned: int


@dataclass(frozen=True)
class StepTimes:
    """step_seconds: of a step of mean cost. first_seconds: what the very first one took longer. timed: how many steps
    that rests on."""

    step_seconds: float
    first_seconds: float
    timed: int


def planned_steps(
    steps: int,
    rows_of: Callable[[int], Numbers],
    tokens: Numbers,
    learned: Numbers,
    areas: Callable[[Numbers], Numbers],
) -> list[PlannedStep]:
    """The experiment's own steps, evenly chosen where there are very many.

    rows_of(step): numbers of its rows. tokens, learned: by row. areas(lengths of a step's rows): tokens that each of
    its micro-batches computes.
    """
    numbers = np.unique(np.linspace(0, steps - 1, min(steps, MOST_PLANNED)).round().astype(int)).tolist()
    found = []
    for number in numbers:
        rows = tuple(rows_of(number))
        computed = areas([tokens[row] for row in rows])
        found.append(PlannedStep(rows, sum(computed), max(computed), sum(learned[row] for row in rows)))
    return found


def heaviest(planned: Sequence[PlannedStep]) -> list[PlannedStep]:
    """The step with the largest micro-batch, and the one that needs most logits where that is another."""
    largest = max(planned, key=lambda step: (step.load, step.learned))
    widest = max(planned, key=lambda step: (step.learned, step.load))
    return [largest] if widest == largest else [largest, widest]


def time_steps(
    planned: Sequence[PlannedStep],
    samples: Sequence[Sample],
    step_on: StepOn,
    *,
    device: str,
    tell: Callable[[str], None] = lambda words: None,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> StepTimes:
    """Take the heaviest steps, which warm up too, then some that lie evenly among all costs.

    Raises:
        Cancelled: `should_stop` said so.
    """

    def timed(steps: Sequence[PlannedStep], words: str) -> Iterator[float]:
        for number, step in enumerate(steps, 1):
            if should_stop():
                raise Cancelled
            tell(f"{words}: {number}")
            rows = [samples[row] for row in step.rows]
            wait(device)
            began = clock()
            step_on(rows)
            wait(device)
            yield clock() - began

    warm = list(timed(heaviest(planned), "Taking the heaviest steps"))
    chosen = [planned[index] for index in evenly_spread([step.cost for step in planned], MOST_TIMED)]
    chosen = [chosen[index] for index in interleaved(len(chosen))]
    seconds: list[float] = []
    for spent in timed(chosen, "Timing typical steps"):
        seconds.append(spent)
        if any(len(seconds) >= count and sum(seconds) > long for count, long in ENOUGH):
            break
    costs = [float(step.cost) for step in chosen[: len(seconds)]]
    mean = sum(step.cost for step in planned) / len(planned)
    typical = typical_seconds(costs, seconds, mean)
    expected = typical_seconds(costs, seconds, float(heaviest(planned)[0].cost))
    return StepTimes(typical, max(0.0, warm[0] - expected), len(seconds))


def interleaved(count: int) -> list[int]:
    """0 to count - 1 so that any first few of them lie apart: the middle first, then the ends, then between."""
    order = list(dict.fromkeys([(count - 1) // 2, 0, count - 1])) if count else []
    while len(order) < count:
        known = sorted(order)
        low, high = max(pairwise(known), key=lambda gap: gap[1] - gap[0])
        order.append((low + high) // 2)
    return order


def wait(device: str) -> None:
    """Until a GPU has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(torch.device(device))
