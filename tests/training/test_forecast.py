"""The forecast's arithmetic: every part counted once, and no disturbed step that moves it."""

from dataclasses import replace
from typing import Any

import pytest

from llm_studio.config import ExperimentConfig, make_config
from llm_studio.training.forecast import Forecast, Measured, evenly_spread, forecast, typical_seconds

MEASURED = Measured(
    measured_at=1_000.0,
    device="cpu",
    device_bytes=24_000_000_000,
    available_bytes=20_000_000_000,
    peak_bytes=1_400_000_000,
    scoring_peak_bytes=1_000_000_000,
    answer_bytes=2_000_000,
    answers_at_once=110,
    base_bytes=900_000_000,
    weight_bytes=100_000_000,
    step_rows=4,
    rows_at_once=4,
    rows=480,
    start_seconds=5.0,
    first_step_seconds=0.5,
    step_seconds=0.17,
    steps_timed=6,
    likelihood_seconds=3.0,
    answer_seconds=5.0,
    untouched_answer_seconds=20.0,
    generated_rows=100,
    scored_rows=120,
    base_scores="ab12",
    checkpoint_bytes=3_000_000,
    checkpoint_seconds=0.1,
    resume_bytes=9_000_000,
    resume_seconds=0.2,
    free_disk_bytes=10**12,
)


def config_of(**changes: Any) -> ExperimentConfig:
    return make_config({"training.batch_size": 4, "prediction.max_generated_rows": 100, **changes})


def forecast_of(
    measured: Measured, config: ExperimentConfig, *, steps: int, evaluations: int, base_scores_known: bool = False
) -> Forecast:
    return forecast(measured, config, steps=steps, evaluations=evaluations, base_scores_known=base_scores_known)


def test_counts_start_steps_evaluations_the_untouched_backbone_and_checkpoints_once_each() -> None:
    found = forecast_of(MEASURED, config_of(), steps=240, evaluations=4)
    assert found.training_seconds == pytest.approx(240 * 0.17 + 0.5)
    assert found.scoring_seconds == pytest.approx(4 * (3 + 5) + 3 + 20)
    assert found.saving_seconds == pytest.approx((4 + 1) * 0.1 + 4 * 0.2)
    assert found.seconds == pytest.approx(5 + found.training_seconds + found.scoring_seconds + found.saving_seconds)
    assert (found.scored, found.memory_bytes, found.fits) == (5, 1_400_000_000, True)


def test_fewer_answers_than_measured_cost_their_share_and_none_set_are_chosen_by_what_they_cost() -> None:
    found = forecast_of(MEASURED, config_of(**{"prediction.max_generated_rows": 20}), steps=240, evaluations=4)
    assert (found.generated_rows, found.scoring_seconds) == (20, pytest.approx(4 * (3 + 1) + 3 + 4))
    free = config_of(**{"prediction.max_generated_rows": 0})
    assert forecast_of(MEASURED, free, steps=240, evaluations=4).generated_rows == 20
    assert forecast_of(MEASURED, free, steps=2_000, evaluations=4).generated_rows == 100
    assert forecast_of(MEASURED, free, steps=20_000, evaluations=4).generated_rows == 120


def test_grades_of_a_judge_take_their_time_in_each_evaluation_and_count_for_the_number_of_answers() -> None:
    judged = replace(MEASURED, judge_seconds=0.7)
    for rows in (20, 100):
        wanted = config_of(**{"prediction.max_generated_rows": rows})
        more, less = (forecast_of(one, wanted, steps=240, evaluations=4) for one in (judged, MEASURED))
        assert more.scoring_seconds - less.scoring_seconds == pytest.approx(5 * rows * 0.7)
    free = config_of(**{"prediction.max_generated_rows": 0})
    assert forecast_of(judged, free, steps=20_000, evaluations=4).generated_rows == 100


def test_more_answers_than_were_tried_take_more_memory_up_to_those_that_are_drawn_at_once() -> None:
    tight = replace(MEASURED, scoring_peak_bytes=1_390_000_000)
    peaks = [
        forecast_of(tight, config_of(**{"prediction.max_generated_rows": rows}), steps=240, evaluations=4).memory_bytes
        for rows in (20, 100, 105, 110, 120)
    ]
    assert peaks == [1_400_000_000, 1_400_000_000, 1_400_000_000, 1_410_000_000, 1_410_000_000]
    large = replace(tight, available_bytes=1_475_000_000)
    assert forecast_of(large, config_of(), steps=240, evaluations=4).fits
    more = config_of(**{"prediction.max_generated_rows": 120})
    assert not forecast_of(large, more, steps=240, evaluations=4).fits


def test_scores_of_the_untouched_backbone_cost_nothing_when_they_are_known_or_not_wanted() -> None:
    known = forecast_of(MEASURED, config_of(), steps=240, evaluations=4, base_scores_known=True)
    unwanted = forecast_of(
        MEASURED, config_of(**{"training.evaluate_before_training": False}), steps=240, evaluations=4
    )
    assert known.scoring_seconds == unwanted.scoring_seconds == pytest.approx(4 * 8)


def test_checkpoints_take_what_is_kept_and_what_is_written_beside_it() -> None:
    both = forecast_of(MEASURED, config_of(), steps=10, evaluations=2)
    last = forecast_of(MEASURED, config_of(**{"training.save_checkpoint": "last"}), steps=10, evaluations=2)
    assert both.disk_bytes == 3 * 3_000_000 + 2 * 9_000_000
    assert last.disk_bytes == 2 * 3_000_000 + 2 * 9_000_000
    full = forecast_of(replace(MEASURED, free_disk_bytes=20_000_000), config_of(), steps=10, evaluations=2)
    assert (full.fits_disk, full.fits) == (False, False)


def test_does_not_fit_when_the_margin_is_missing_or_only_fewer_rows_could_be_had() -> None:
    tight = replace(MEASURED, available_bytes=1_410_000_000)
    fewer = replace(MEASURED, step_rows=2)
    assert not forecast_of(tight, config_of(), steps=1, evaluations=1).fits_memory
    assert not forecast_of(fewer, config_of(), steps=1, evaluations=1).fits_memory


def test_one_disturbed_step_does_not_move_the_typical_one() -> None:
    tokens = [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0]
    seconds = [0.1 + 0.001 * one for one in tokens]
    assert typical_seconds(tokens, seconds, 350.0) == pytest.approx(0.45)
    seconds[3] = 9.0
    assert typical_seconds(tokens, seconds, 350.0) == pytest.approx(0.45, rel=0.02)


def test_steps_of_one_length_and_noise_that_falls_with_length_still_give_a_sensible_time() -> None:
    assert typical_seconds([100.0, 100.0, 100.0], [0.2, 0.3, 0.25], 100.0) == pytest.approx(0.25)
    assert typical_seconds([100.0, 200.0], [0.4, 0.2], 900.0) == pytest.approx(0.3)
    assert typical_seconds([50.0], [0.2], 100.0) == pytest.approx(0.2)


def test_the_pieces_to_time_are_cheap_and_dear_alike() -> None:
    costs = [float(cost) for cost in range(100)]
    chosen = evenly_spread(costs, 5)
    assert [costs[one] for one in chosen] == [10.0, 30.0, 50.0, 70.0, 90.0]
    assert sorted(evenly_spread([3.0, 1.0], 5)) == [0, 1]


def test_figures_survive_json_and_those_of_another_version_are_not_taken() -> None:
    assert Measured.from_dict(MEASURED.as_dict()) == MEASURED
    assert Measured.from_dict({**MEASURED.as_dict(), "more": 1}) is None
    assert Measured.from_dict({}) is None
