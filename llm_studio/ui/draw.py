"""Draws a ChartSpec in the page with plotly: what the browser needs goes there as JSON that the glue script reads.

The chart's own element stays mounted; new data arrives in a second, hidden element, so that zoom and hover survive.
"""

import json
from typing import Any

from h2o_wave import ui

from llm_studio.charts.spec import ChartSpec, Series
from llm_studio.ui import text
from llm_studio.ui.page import Card


def chart_card(zone: str, name: str, spec: ChartSpec, title: str = "", *, height: int = 260, hint: str = "") -> Card:
    """A card with one chart. Put several in zone "grid" to have them side by side."""
    return Card(
        zone=zone, name=name, item=ui.form_card(box="", items=chart(name, spec, title, height=height, hint=hint))
    )


def chart(name: str, spec: ChartSpec, title: str = "", *, height: int = 260, hint: str = "") -> list[Any]:
    """The same as components, for a form card of your own; `name` is unique in the page."""
    words = text.markup(title or spec.title)
    note = f'<span class="ls-hint">{text.markup(hint)}</span>' if hint else ""
    frame = (
        f'<div class="ls-chart-title"><h2 class="ls-heading">{words}</h2>{note}</div>'
        f'<div class="ls-chart ls-chart-{_height_class(height)}" data-chart="{text.markup(name)}"'
        f' role="img" aria-label="{words}"></div>'
    )
    figure = json.dumps(figure_of(spec), separators=(",", ":"), allow_nan=False)
    data = f'<div hidden class="ls-chart-data" data-for="{text.markup(name)}">{text.markup(figure)}</div>'
    return [ui.markup(name=f"{name}_chart", content=frame), ui.markup(name=f"{name}_data", content=data)]


def _height_class(height: int) -> str:
    return "small" if height <= 200 else "medium" if height <= 300 else "large"


def figure_of(spec: ChartSpec) -> dict[str, Any]:
    """What the glue script needs: traces without colours (it picks them by theme), axis types, marks."""
    return {
        "id": spec.id,
        "title": spec.title,
        "empty": spec.empty if spec.is_empty else "",
        "x": {"title": spec.x_title, "log": spec.log_x},
        "y": {"title": spec.y_title, "log": spec.log_y, "range": list(spec.y_range) if spec.y_range else None},
        "legend": spec.legend,
        "click": spec.click,
        "marks": [{"x": mark.x, "text": mark.text} for mark in spec.marks],
        "series": [_series(series, spec.kind) for series in spec.series],
    }


def _series(series: Series, kind: str) -> dict[str, Any]:
    return {
        "name": series.name,
        "kind": kind,
        "x": [_finite(value) for value in series.x],
        "y": [_finite(value) for value in series.y],
        "colour": series.colour,
        "faint": series.faint,
        "dashed": series.dashed,
        "markers": series.markers,
        "hover": list(series.hover),
    }


def _finite(value: float | str | None) -> float | str | None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
