"""Charts of experiments: every row arrives, peaks survive the thinning, colours stay with their experiment."""

from pathlib import Path

import pytest

from llm_studio.charts.curves import Curves, read_curves
from llm_studio.charts.spec import smoothed, thinned
from llm_studio.charts.training_charts import Line, colours_of, training_charts
from llm_studio.store.charts_db import FILE, ChartsDb


def step(charts: ChartsDb, number: int, **values: float) -> None:
    row = {"step": number, "epoch": number / 10, "loss": 1 / number, "learning_rate": 1e-3, "tokens_per_second": 900.0}
    charts.append("step", row | values)


def line(curves: Curves, name: str = "first", colour: int = 2) -> Line:
    return Line(key=name, name=name, colour=colour, curves=curves)


def test_before_the_first_row_every_chart_says_what_will_come(tmp_path: Path) -> None:
    specs = training_charts([line(read_curves(tmp_path))])
    assert all(spec.is_empty and spec.empty for spec in specs)
    assert [spec.id.split("-")[0] for spec in specs] == [
        "loss", "perplexity", "bleu", "exact_match", "learning_rate", "gradient_norm", "tokens_per_second",
        "memory_bytes",
    ]  # fmt: skip


def test_rows_that_arrive_are_added_and_nothing_is_read_twice(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    step(charts, 1)
    charts.flush()
    first = read_curves(tmp_path)
    assert read_curves(tmp_path) is first
    step(charts, 2)
    charts.append(
        "evaluation", {"step": 2, "validation_loss": 0.7, "perplexity": 2.0, "bleu": 40.0, "exact_match": 0.25}
    )
    charts.append("phase", {"text": "Learning"})
    charts.append("note", {"text": "bf16 on the CPU"})
    charts.append("checkpoint", {"step": 2, "path": "best", "reason": "best perplexity"})
    charts.close()
    second = read_curves(tmp_path)
    assert (first.steps.steps, second.steps.steps) == ([1], [1, 2])
    assert (second.phase, second.notes, second.checkpoints) == (
        "Learning",
        ("bf16 on the CPU",),
        ((2, "best perplexity"),),
    )
    specs = {spec.id.split("-")[0]: spec for spec in training_charts([line(second)], smoothing="none")}
    assert specs["loss"].series[0].y == (1.0, 0.5)
    assert specs["loss"].series[1].y == (0.7,)
    assert specs["exact_match"].series[0].y == (25.0,)


def test_steps_written_again_after_a_resume_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    for number in range(1, 8):
        step(charts, number)
    for number in range(5, 10):
        step(charts, number, loss=9.0)
    charts.close()
    table = read_curves(tmp_path).steps
    assert table.steps == list(range(1, 10))
    assert table.columns["loss"][4:] == [9.0] * 5


def test_an_experiment_that_begins_anew_forgets_its_old_rows(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    step(charts, 1)
    step(charts, 2)
    charts.close()
    assert len(read_curves(tmp_path).steps.steps) == 2
    (tmp_path / FILE).rename(tmp_path / "old.db")
    again = ChartsDb(tmp_path)
    step(again, 1, loss=7.0)
    again.close()
    assert read_curves(tmp_path).steps.columns["loss"] == [7.0]


def test_a_value_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    step(charts, 1)
    step(charts, 2, loss=float("nan"))
    step(charts, 3)
    charts.close()
    loss = training_charts([line(read_curves(tmp_path))], smoothing="none")[0].series[0]
    assert loss.y == (1.0, None, 0.333333)


def test_a_long_line_has_at_most_a_thousand_points_and_keeps_its_peaks(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    for number in range(1, 30_001):
        step(charts, number, loss=50.0 if number == 12_345 else 1.0)
    charts.close()
    raw, smooth = training_charts([line(read_curves(tmp_path))], smoothing="strong")[0].series[:2]
    assert raw.faint and not smooth.faint
    assert len(raw.x) <= 1002 and len(smooth.x) <= 1002
    assert max(value for value in raw.y if value is not None) == 50.0
    assert max(value for value in smooth.y if value is not None) < 10.0


def test_two_experiments_with_equal_losses_keep_their_own_other_values(tmp_path: Path) -> None:
    for name, speed in (("a", 100.0), ("b", 900.0)):
        (tmp_path / name).mkdir()
        charts = ChartsDb(tmp_path / name)
        for number in range(1, 20):
            step(charts, number, tokens_per_second=speed)
        charts.close()
    lines = [line(read_curves(tmp_path / name), name, colour) for colour, name in enumerate(("a", "b"))]
    speeds = next(spec for spec in training_charts(lines, smoothing="none") if spec.title == "Speed").series
    assert [(one.name, one.y[0], one.colour) for one in speeds] == [("a", 100.0, 0), ("b", 900.0, 1)]


def test_an_experiment_keeps_its_colour_and_two_in_one_chart_never_share_it() -> None:
    assert colours_of([3]) == (2,)
    assert colours_of([3, 11]) == (2, 3)
    assert colours_of([1, 2, 3]) == (0, 1, 2)
    assert len(set(colours_of(range(1, 60, 8)))) == 8


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.95])
def test_smoothing_a_constant_gives_the_constant(weight: float) -> None:
    assert smoothed([3.0] * 20, weight) == pytest.approx((3.0,) * 20)


def test_thinning_keeps_first_last_lowest_and_highest() -> None:
    y = [float((number * 37) % 1000) for number in range(50_000)]
    x, thin = thinned(range(50_000), y, 2000)
    assert (x[0], x[-1]) == (0, 49_999)
    known = [one for one in thin if one is not None]
    assert (min(known), max(known)) == (0.0, 999.0)
