"""The first tab of an experiment: what tuning changed, how it stands, and its charts while they grow."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions.devices import title_of
from llm_studio.actions.starting_from import start_words
from llm_studio.charts.curves import Curves, read_curves
from llm_studio.charts.spec import ChartSpec
from llm_studio.charts.training_charts import SMOOTHING, Line, colours_of, training_charts
from llm_studio.store import ExperimentRecord
from llm_studio.store.rounds import Round, read_rounds
from llm_studio.ui import build, draw, text, words
from llm_studio.ui.page import Card, Context
from llm_studio.ui.pages import experiment_words as say

MOST_NOTES = 20


@dataclass(frozen=True)
class Body:
    """What the tab shows. start: the weights it began with, in words, empty for the backbone's. rounds: after the
    first, those of added epochs."""

    curves: Curves
    charts: tuple[ChartSpec, ...]
    smoothing: str
    dataset_exists: bool
    start: str = ""
    rounds: tuple[Round, ...] = ()


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Reads the rows that are new since the last time."""
    curves = read_curves(ctx.home.experiment(record.id))
    smoothing = chosen_smoothing(ctx)
    best = (record.scores.get("best") or {}).get("step")
    line = Line(
        key=record.id,
        name=record.name,
        colour=colours_of([record.number])[0],
        curves=curves,
        best_step=int(best) if isinstance(best, int) and best > 0 else None,
    )
    return Body(
        curves=curves,
        charts=training_charts([line], smoothing=smoothing),
        smoothing=smoothing,
        dataset_exists=ctx.store.datasets.find(record.dataset_id) is not None,
        start=started_from(ctx, record),
        rounds=read_rounds(ctx.home.experiment(record.id)),
    )


def started_from(ctx: Context, record: ExperimentRecord) -> str:
    """ "the adapter of first (best checkpoint)"; empty for an experiment that starts from its backbone."""
    if record.continued_from is None:
        return ""
    source = ctx.store.experiments.find(record.continued_from)
    return start_words(record, source.name if source else "an experiment that was deleted")


def chosen_smoothing(ctx: Context) -> str:
    """From the address, else the one chosen last, else light."""
    asked = ctx.query.get("smoothing", "")
    if asked in SMOOTHING:
        if asked != ctx.preferences.get("smoothing", "light"):
            ctx.preferences.set("smoothing", asked)
        return asked
    kept = ctx.preferences.get("smoothing", "light")
    return kept if kept in SMOOTHING else "light"


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """Score card and facts, then the charts."""
    yield build.form("main", "scores", score_card(record, body.start))
    items = [build.heading("This experiment"), build.pairs("facts_list", facts(record, body))]
    items += smoothing_items(f"#experiment/{record.id}/overview", body.smoothing)
    yield build.form("side", "facts", items)
    yield from chart_cards(body.charts)
    if body.curves.notes:
        yield build.form("wide", "notes", [build.heading("What was decided, and why"), notes(body.curves.notes)])


def smoothing_items(address: str, current: str) -> list[Any]:
    """How much the lines are smoothed, as addresses."""
    titles = {"none": "Raw", "light": "Light smoothing", "strong": "Strong smoothing"}
    items = [(titles[name], f"{address}?smoothing={name}") for name in SMOOTHING]
    return [
        build.heading("Lines of the charts"),
        build.chips("smoothing_chips", items, f"{address}?smoothing={current}"),
    ]


def chart_cards(specs: Sequence[ChartSpec]) -> Iterator[Card]:
    """One card per chart."""
    yield from map(_chart_card, specs)


@functools.lru_cache(maxsize=128)
def _chart_card(spec: ChartSpec) -> Card:
    """Kept, since writing a figure as JSON takes longer than everything else on the page."""
    return draw.chart_card("grid", f"chart_{spec.id.split('-')[0]}", spec, hint=spec.hint)


def score_card(record: ExperimentRecord, start: str = "") -> list[Any]:
    """A sentence on what changed, then every score before tuning, last and best. start: what it starts from, in words,
    empty for the backbone."""
    sentence, first = say.change(record), start or "the untouched backbone"
    if not sentence and record.scores.get("last") and not record.scores.get("before"):
        sentence = f"There is nothing to compare: {first} was not scored."
    elif not sentence:
        sentence = {
            "queued": f"Scores appear here once it runs: first of {first}, then while it learns.",
            "running": f"First {first} is scored; what tuning changes is measured against that.",
        }.get(record.status, "There is nothing to compare: it ended before the tuned weights were scored.")
    items: list[Any] = [build.heading("What tuning changed"), build.paragraph(sentence, name="change")]
    moments = [moment for moment in say.MOMENTS if record.scores.get(moment)]
    if moments:
        items.append(build.line("score_table", score_table(record, moments)))
    if start and record.scores.get("before"):
        said = f"Before tuning means before this experiment: the scores of {start}, which it starts from."
        items.append(build.paragraph(said, name="start_scores", quiet=True))
    return items


def score_table(record: ExperimentRecord, moments: Sequence[str]) -> str:
    """Markup: a metric per row, a moment per column; the step below the moment's name."""
    heads = []
    for moment in moments:
        step = record.scores[moment].get("step")
        note = f'<span class="ls-tile-note">step {words.count(step)}</span>' if isinstance(step, int) and step else ""
        heads.append(f'<th scope="col" class="ls-number">{text.markup(say.MOMENTS[moment])}{note}</th>')
    rows = []
    for metric, title in say.TITLES.items():
        values = [record.scores[moment].get(metric) for moment in moments]
        if all(value is None for value in values):
            continue
        cells = []
        for moment, value in zip(moments, values, strict=True):
            verdict = (
                say.better(metric, record.scores.get("before", {}).get(metric), value) if moment != "before" else None
            )
            mark = "" if verdict is None else " ls-better" if verdict else " ls-worse"
            said = "" if verdict is None else f'<span class="ls-unseen"> {"better" if verdict else "worse"}</span>'
            label = text.markup(say.MOMENTS[moment])
            cells.append(
                f'<td data-label="{label}" class="ls-number{mark}">{text.markup(say.score(metric, value))}{said}</td>'
            )
        name = f'{text.markup(title)}<span class="ls-tile-note">{text.markup(say.HINTS[metric])}</span>'
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="ls-table ls-scores"><thead><tr><th></th>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def notes(lines: Sequence[str]) -> Any:
    """The notes of the trainer in their order; one that is made again after a checkpoint is shown once."""
    items = "".join(f"<li>{text.markup(line)}</li>" for line in list(dict.fromkeys(lines))[:MOST_NOTES])
    return ui.markup(name="notes_list", content=f'<ul class="ls-notes">{items}</ul>')


def facts(record: ExperimentRecord, body: Body) -> list[tuple[str, str]]:
    """Names and figures beside the scores."""
    curves = body.curves
    found = [("Backbone", say.backbone(record)), ("Data set", record.dataset_name)]
    if body.start:
        found.append(("Starts from", body.start))
    if body.rounds:
        found.append(("Epochs", say.epochs(body.rounds)))
    found.append(("Device", title_of(record.device)))
    if curves.steps.steps:
        epoch = f", epoch {curves.epoch:.2f}" if curves.epoch is not None else ""
        found.append(("Step", f"{words.count(curves.steps.steps[-1])}{epoch}"))
        speed = latest(curves, "tokens_per_second")
        if speed is not None:
            found.append(("Speed", f"{words.count(speed)} tok/s"))
        memory = max((value for value in curves.steps.columns["memory_bytes"] if value is not None), default=None)
        if memory is not None:
            found.append(("Most memory", words.size(memory)))
    if curves.forecast:
        seconds, peak = float(curves.forecast["seconds"]), float(curves.forecast["memory_bytes"])
        found.append(("Forecast", f"{words.about(seconds)}, {words.size(peak)}"))
    found.append(("Created", words.moment(record.created_at)))
    if say.took(record):
        found.append(("Ran for", say.took(record)))
    return found


def latest(curves: Curves, name: str) -> float | int | None:
    """The newest value of a column that is not missing."""
    return next((value for value in reversed(curves.steps.columns[name]) if value is not None), None)
