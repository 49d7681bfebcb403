"""The charts of experiments: one line per experiment in each, so that one and several look the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from llm_studio.charts.curves import Curves, Table
from llm_studio.charts.spec import ChartSpec, Mark, Number, Series, smoothed, thinned

COLOUR_COUNT = 8
MOST_POINTS = 1000  # a chart is 400 to 600 pixels wide
DIGITS = 6
WIDE = 50  # a perplexity that falls this many times is only seen on a logarithmic axis
FRESH_BELOW = 4000  # points up to which each new one is drawn at once
SMOOTHING = {"none": 0.0, "light": 0.6, "strong": 0.95}


@dataclass(frozen=True)
class Line:
    """One experiment in a chart. key: its id. best_step: where its best checkpoint is."""

    key: str
    name: str
    colour: int
    curves: Curves
    best_step: int | None = None


def colours_of(numbers: Sequence[int]) -> tuple[int, ...]:
    """A colour for each experiment number: always the same one, unless another line of this chart has it already."""
    taken: list[int] = []
    for number in numbers:
        colour = (number - 1) % COLOUR_COUNT
        free = [(colour + shift) % COLOUR_COUNT for shift in range(COLOUR_COUNT)]
        taken.append(next((one for one in free if one not in taken), colour))
    return tuple(taken)


def training_charts(
    lines: Sequence[Line], *, smoothing: str = "light", log_loss: bool = False
) -> tuple[ChartSpec, ...]:
    """All charts in the order of their importance.

    smoothing: "none", "light" or "strong" (see SMOOTHING); then the raw values stay faint behind.
    """
    weight = SMOOTHING[smoothing]
    alone = len(lines) == 1
    loss = (
        *_step_series(lines, "loss", weight, "learned" if alone else ""),
        *_evaluation_series(lines, "validation_loss", "held out", dashed=True),
    )
    judged = any(one is not None for line in lines for one in line.curves.evaluations.columns["gpt"])
    marks = tuple(Mark(x=line.best_step, text="best") for line in lines if alone and line.best_step)
    return (
        ChartSpec(
            id=_identity("loss", lines), title="Loss", x_title="step", y_title="nats per token", series=loss,
            marks=marks, log_y=log_loss, legend=alone,
            hint="" if alone else "line: learned rows; dots: held-out rows",
            empty="The loss appears here with the first step.",
        ),
        _evaluated(lines, "perplexity", "Perplexity on held-out rows", "perplexity"),
        _evaluated(lines, "bleu", "BLEU on held-out rows", "0 to 100"),
        _evaluated(lines, "exact_match", "Exact match on held-out rows", "% of rows", factor=100.0),
        *([_evaluated(lines, "gpt", "Judge on held-out rows", "0 to 1")] if judged else []),
        _stepped(lines, "learning_rate", "Learning rate", "", 0.0),
        _stepped(lines, "gradient_norm", "Gradient norm", "", weight),
        _stepped(lines, "tokens_per_second", "Speed", "tokens per second", weight),
        _stepped(lines, "memory_bytes", "Memory", "GB", 0.0, factor=1e-9),
    )  # fmt: skip


def _identity(name: str, lines: Sequence[Line]) -> str:
    """Changes with the set of experiments, so that a zoom made for others is not kept."""
    return "-".join((name, *(line.key for line in lines)))


def _stepped(lines: Sequence[Line], value: str, title: str, unit: str, weight: float, factor: float = 1.0) -> ChartSpec:
    series = _step_series(lines, value, weight, "" if len(lines) > 1 else title.lower(), factor)
    empty = f"The {title.lower()} appears here with the first step."
    return ChartSpec(
        id=_identity(value, lines), title=title, x_title="step", y_title=unit, series=series, empty=empty, legend=False
    )


def _evaluated(lines: Sequence[Line], value: str, title: str, unit: str, factor: float = 1.0) -> ChartSpec:
    series = _evaluation_series(lines, value, "", factor=factor)
    known = [one for line in series for one in line.y if one is not None and one > 0]
    return ChartSpec(
        id=_identity(value, lines),
        title=title,
        x_title="step",
        y_title=unit,
        series=series,
        log_y=value == "perplexity" and bool(known) and max(known) > WIDE * min(known),
        legend=False,
        empty="A point appears here with each evaluation.",
    )


def _step_series(
    lines: Sequence[Line], value: str, weight: float, words: str, factor: float = 1.0
) -> tuple[Series, ...]:
    """The smoothed line and, faint behind it, the raw values."""
    found: list[Series] = []
    for line in lines:
        name = words or line.name
        raw, smooth = _points(line.curves, value, weight, factor)
        if weight and len(raw[0]) > 2:
            found.append(Series(name=f"{name}, raw", x=raw[0], y=raw[1], colour=line.colour, faint=True))
            found.append(Series(name=name, x=smooth[0], y=smooth[1], colour=line.colour))
        else:
            found.append(Series(name=name, x=raw[0], y=raw[1], colour=line.colour, markers=len(raw[0]) < 3))
    return tuple(found)


def _evaluation_series(
    lines: Sequence[Line], value: str, words: str, *, dashed: bool = False, factor: float = 1.0
) -> tuple[Series, ...]:
    found = []
    for line in lines:
        table = line.curves.evaluations
        y = tuple(None if one is None else one * factor for one in table.columns[value])
        name = words if len(lines) == 1 and words else f"{line.name}, {words}" if words else line.name
        found.append(Series(name=name, x=tuple(table.steps), y=y, colour=line.colour, dashed=dashed, markers=True))
    return tuple(found)


Points = tuple[tuple[float, ...], tuple[Number, ...]]


def _points(curves: Curves, value: str, weight: float, factor: float) -> tuple[Points, Points]:
    """At most about 1,000 raw and smoothed points; a long line is drawn again only when it has grown by a 400th."""
    count = len(curves.steps.steps)
    if count > FRESH_BELOW:
        count -= count % (count // 400)
    last_step = curves.steps.steps[count - 1] if count else 0
    return _reduced(_Rows(curves.key, count, last_step, curves.steps), value, weight, factor)


@dataclass(frozen=True)
class _Rows:
    """The first `count` rows of a table; equal to another one with the same first three fields, for the cache."""

    key: str
    count: int
    last_step: int
    table: Table = field(compare=False)


@lru_cache(maxsize=256)
def _reduced(rows: _Rows, value: str, weight: float, factor: float) -> tuple[Points, Points]:
    steps = rows.table.steps[: rows.count]
    values = [None if one is None else float(one) * factor for one in rows.table.columns[value][: rows.count]]
    raw = _short(thinned(steps, values, MOST_POINTS))
    return raw, _short(thinned(steps, smoothed(values, weight), MOST_POINTS)) if weight else raw


def _short(points: Points) -> Points:
    """Values with as many digits as a screen can show: half the bytes on their way to the browser."""
    x, y = points
    return x, tuple(None if value is None else float(f"{value:.{DIGITS}g}") for value in y)
