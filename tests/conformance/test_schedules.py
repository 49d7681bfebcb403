"""What every schedule must do: rise over the warm-up, never pass the peak, and fall to its floor."""

import pytest

from llm_studio.catalog.schedules import SCHEDULES, Schedule
from llm_studio.training.schedules import SHAPES, rate_factor

STEPS, WARMUP = 110, 10


@pytest.mark.parametrize("entry", SCHEDULES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_rises_over_the_warm_up_then_falls_to_the_floor(entry: Schedule, floor: float) -> None:
    factor = rate_factor(entry.name, steps=STEPS, warmup_steps=WARMUP, floor=floor)
    curve = [factor(step) for step in range(STEPS + 1)]
    assert curve[:WARMUP] == pytest.approx([(step + 1) / WARMUP for step in range(WARMUP)])
    assert max(curve) == 1.0
    assert all(later <= earlier for earlier, later in zip(curve[WARMUP:], curve[WARMUP + 1 :], strict=False))
    assert curve[STEPS] == pytest.approx(1.0 if entry.name == "Constant" else floor)


@pytest.mark.parametrize("entry", SCHEDULES, ids=lambda entry: entry.name)
def test_begins_at_the_peak_without_a_warm_up_and_survives_a_single_step(entry: Schedule) -> None:
    assert rate_factor(entry.name, steps=STEPS, warmup_steps=0, floor=0.0)(0) == 1.0
    assert rate_factor(entry.name, steps=1, warmup_steps=0, floor=0.0)(0) == 1.0
    assert rate_factor(entry.name, steps=1, warmup_steps=1, floor=0.0)(0) == 1.0


def test_every_schedule_has_a_curve_of_its_own() -> None:
    assert set(SHAPES) == {entry.name for entry in SCHEDULES}
    middles = {name: rate_factor(name, steps=100, warmup_steps=0, floor=0.0)(90) for name in SHAPES}
    assert middles["Constant"] == 1.0
    assert middles["Linear"] == pytest.approx(0.1)
    assert middles["WarmupStableDecay"] == pytest.approx(0.5)
    assert middles["Cosine"] == pytest.approx(0.0245, abs=1e-3)
