"""Charts: what goes to the browser is plain JSON, short enough, and keeps every peak."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_studio.charts.spec import ChartSpec, Mark, Series, smoothed, thinned
from llm_studio.ui import draw


def spec(*series: Series) -> ChartSpec:
    return ChartSpec(id="loss", title="Loss", x_title="step", y_title="nats", series=series)


def test_numbers_that_are_none_become_gaps() -> None:
    series = Series(name="a", x=(1.0, 2.0, 3.0), y=(math.nan, math.inf, 1.0))
    figure = draw.figure_of(spec(series))
    assert figure["series"][0]["y"] == [None, None, 1.0]
    json.dumps(figure, allow_nan=False)


def test_an_empty_chart_says_what_will_appear() -> None:
    empty = ChartSpec(id="a", title="A", x_title="x", y_title="y", empty="The loss appears here.")
    assert draw.figure_of(empty)["empty"] == "The loss appears here."
    assert draw.figure_of(spec(Series(name="a", x=(1,), y=(None,))))["empty"]
    assert not draw.figure_of(spec(Series(name="a", x=(1,), y=(0.0,))))["empty"]


def test_data_goes_in_an_element_of_its_own_so_that_the_chart_stays_mounted() -> None:
    frame, data = (item.markup for item in draw.chart("loss", spec(Series(name="<b>", x=(1,), y=(1.0,)))))
    again, other = (item.markup for item in draw.chart("loss", spec(Series(name="<b>", x=(1, 2), y=(1.0, 2.0)))))
    assert frame.content == again.content and data.content != other.content
    assert "<b>" not in data.content and 'data-for="loss"' in data.content


def test_marks_and_ranges_are_carried() -> None:
    chart = ChartSpec(id="a", title="A", x_title="x", y_title="y", marks=(Mark(x=3, text="best"),), y_range=(0, 100))
    figure = draw.figure_of(chart)
    assert figure["marks"] == [{"x": 3, "text": "best"}] and figure["y"]["range"] == [0, 100]


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=300), st.integers(10, 60))
def test_thinning_keeps_ends_and_peaks_and_order(values: list[float | None], most: int) -> None:
    x = list(range(len(values)))
    thin_x, thin_y = thinned(x, values, most)
    assert len(thin_x) <= most + 2 and list(thin_x) == sorted(set(thin_x))
    known = [value for value in values if value is not None]
    if known:
        assert max(known) in thin_y and min(known) in thin_y
    if values:
        assert thin_x[0] == 0 and thin_x[-1] == len(values) - 1


def test_thinning_and_smoothing_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="x has 1 values and y has 2"):
        thinned([1], [1.0, 2.0])
    with pytest.raises(ValueError, match="weight"):
        smoothed([1.0], 1.0)


def test_smoothing_is_the_corrected_moving_average_and_keeps_gaps() -> None:
    assert smoothed([2.0, None, 4.0], 0.0) == (2.0, None, 4.0)
    first, gap, second = smoothed([2.0, None, 4.0], 0.5)
    assert first == pytest.approx(2.0) and gap is None
    assert second == pytest.approx((0.25 * 2.0 + 0.5 * 4.0) / 0.75)
