"""What a chart shows, as plain data: series, axes, marks; drawn by `ui/draw.py`, computed here in `charts`."""

from collections.abc import Sequence
from dataclasses import dataclass

Number = float | int | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line (or one set of bars) of a chart; `x` and `y` have the same length, None in `y` is a gap.

    `colour` is an index into the eight chart colours or a name given by `colour_of`; the same experiment keeps the
    same one. `faint` draws it thin and pale, for raw values behind their smoothed line.
    """

    name: str
    x: tuple[float | str, ...]
    y: tuple[Number, ...]
    colour: int = 0
    faint: bool = False
    dashed: bool = False
    markers: bool = False
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line at `x` with a short word, for example "best"."""

    x: float
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class ChartSpec:
    """One chart. `kind` is "line", "bar" or "scatter"; `legend` False: the page names the lines itself; `hint`: a few
    words beside the title; `empty` says what will appear while there is no point yet."""

    id: str
    title: str
    x_title: str
    y_title: str
    series: tuple[Series, ...] = ()
    log_y: bool = False
    log_x: bool = False
    kind: str = "line"
    marks: tuple[Mark, ...] = ()
    y_range: tuple[float, float] | None = None
    legend: bool = True
    hint: str = ""
    click: str = ""
    """An address with "{x}" in it: a click on the chart opens it with the nearest x."""
    empty: str = "Values appear here as soon as there are some."

    @property
    def is_empty(self) -> bool:
        """True while no series holds a value."""
        return not any(value is not None for series in self.series for value in series.y)


def smoothed(values: Sequence[Number], weight: float = 0.8) -> tuple[Number, ...]:
    """Exponential moving average with start correction, gaps kept.

    `weight` in [0, 1): 0 returns the values. Source: Kingma and Ba 2015, arXiv:1412.6980, section 3 (bias correction).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be in [0, 1), not {weight}")
    average = 0.0
    count = 0
    result: list[Number] = []
    for value in values:
        if value is None:
            result.append(None)
            continue
        count += 1
        average = weight * average + (1 - weight) * float(value)
        result.append(average / (1 - weight**count))
    return tuple(result)


def thinned(x: Sequence[float], y: Sequence[Number], most: int = 2000) -> tuple[tuple[float, ...], tuple[Number, ...]]:
    """At most about `most` points that keep every peak: the lowest and the highest value of each stretch.

    The first and the last point always stay.
    """
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} values and y has {len(y)}")
    if len(x) <= most:
        return tuple(x), tuple(y)
    stretch = max(1, -(-2 * len(x) // most))
    keep = {0, len(x) - 1}
    for start in range(0, len(x), stretch):
        known = [
            (float(value), index)
            for index in range(start, min(start + stretch, len(x)))
            if (value := y[index]) is not None
        ]
        if known:
            keep.update((min(known)[1], max(known)[1]))
        else:
            keep.add(start)
    order = sorted(keep)
    return tuple(x[index] for index in order), tuple(y[index] for index in order)
