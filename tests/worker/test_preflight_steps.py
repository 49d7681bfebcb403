"""Which steps a pre-flight takes, and what it makes of their times."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from llm_studio.errors import Cancelled
from llm_studio.tokens.sample import Sample
from llm_studio.worker.preflight_steps import PlannedStep, heaviest, interleaved, planned_steps, time_steps

ROWS = 40


class Clock:
    """A clock that only moves when a step is taken."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lengths() -> list[int]:
    return [10 + row for row in range(ROWS)]


def padded(found: Sequence[int]) -> list[int]:
    return [len(found) * max(found)]


def planned() -> list[PlannedStep]:
    return planned_steps(10, lambda step: range(4 * step, 4 * step + 4), lengths(), [1] * ROWS, padded)


def timed(slow: dict[int, float] | None = None, **arguments: Any) -> tuple[Any, list[int]]:
    clock, taken = Clock(), []

    def step_on(samples: Sequence[Sample]) -> torch.Tensor:
        number = len(taken)
        taken.append(max(len(sample.input_ids) for sample in samples))
        clock.now += 0.1 + 0.01 * 4 * taken[-1] + (slow or {}).get(number, 0.0)
        return torch.tensor(1.0)

    rows = [
        Sample(row, (1,) * length, (1,) * length, (1,) * length, 0, "whole") for row, length in enumerate(lengths())
    ]
    return time_steps(planned(), rows, step_on, device="cpu", clock=clock, **arguments), taken


def test_the_experiments_own_steps_are_planned_with_their_padding() -> None:
    found = planned()
    assert [step.rows for step in found[:2]] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert (found[0].cost, found[0].load, found[0].learned) == (4 * 13, 4 * 13, 4)


def test_the_heaviest_step_and_the_one_with_most_logits_come_first() -> None:
    steps = [PlannedStep((0,), 10, 10, 1), PlannedStep((1,), 30, 15, 2), PlannedStep((2,), 20, 20, 1)]
    assert heaviest(steps) == [steps[2], steps[1]]
    assert heaviest(steps[:1]) == steps[:1]
    _, taken = timed()
    assert taken[0] == max(lengths())


def test_a_step_of_mean_cost_is_told_and_one_disturbed_step_does_not_move_it() -> None:
    mean = sum(step.cost for step in planned()) / 10
    assert timed()[0].step_seconds == pytest.approx(0.1 + 0.01 * mean)
    assert timed({4: 30.0})[0].step_seconds == pytest.approx(0.1 + 0.01 * mean, rel=0.05)


def test_what_the_very_first_step_takes_longer_is_counted_once() -> None:
    found, _ = timed({0: 2.0})
    assert found.first_seconds == pytest.approx(2.0)
    assert timed()[0].first_seconds == pytest.approx(0.0, abs=1e-9)


def test_slow_steps_are_timed_three_times_at_least_and_not_much_longer() -> None:
    found, taken = timed(dict.fromkeys(range(20), 100.0))
    assert (found.timed, len(taken)) == (3, 4)


def test_a_check_can_be_cancelled_between_steps() -> None:
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        timed(should_stop=lambda: next(answers))


def test_any_first_few_lie_apart() -> None:
    assert interleaved(9)[:5] == [4, 0, 8, 2, 6]
    assert [sorted(interleaved(count)) for count in (0, 1, 2, 3, 7)] == [[*range(count)] for count in (0, 1, 2, 3, 7)]
