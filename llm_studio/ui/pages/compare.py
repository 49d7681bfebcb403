"""Compares experiments: charts over each other, scores, settings that differ, rows won and lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions.comparison import MOST, Comparison, Duel, SettingRow, compare
from llm_studio.charts.curves import read_curves
from llm_studio.charts.spec import ChartSpec
from llm_studio.charts.training_charts import Line, colours_of, training_charts
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, go
from llm_studio.ui.pages import experiment_words as say
from llm_studio.ui.pages.experiment_config import shown_value
from llm_studio.ui.pages.experiment_overview import chart_cards, chosen_smoothing, smoothing_items

PICKER = "picked"


@dataclass(frozen=True)
class Data:
    """found None: fewer than two are chosen. everything: all experiments, to pick from."""

    everything: tuple[ExperimentRecord, ...]
    ids: tuple[str, ...]
    found: Comparison | None
    charts: tuple[ChartSpec, ...]
    colours: tuple[int, ...]
    smoothing: str


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """The chosen experiments, their curves and how they differ. One that was deleted is left out."""
    everything = tuple(record for record in ctx.store.experiments.list() if record.status != "queued")
    asked = tuple(dict.fromkeys(args[0].split(","))) if args and args[0] else ()
    by_id = {record.id: record for record in everything}
    ids = tuple(one for one in asked if one in by_id)
    smoothing = chosen_smoothing(ctx)
    if len(ids) < 2:
        return Data(everything, ids, None, (), (), smoothing)
    found = compare(ctx.store, ids)
    colours = colours_of([record.number for record in found.records])
    lines = [
        Line(key=record.id, name=record.name, colour=colour, curves=read_curves(ctx.home.experiment(record.id)))
        for record, colour in zip(found.records, colours, strict=True)
    ]
    return Data(everything, ids, found, training_charts(lines, smoothing=smoothing), colours, smoothing)


def cards(data: Data) -> Iterator[Card]:
    """The picker, then everything that differs."""
    yield build.header("Compare", subtitle=subtitle(data))
    if not data.everything or (len(data.everything) < 2 and data.found is None):
        said = "Two experiments are needed to compare. Tune the starter twice, with another setting the second time."
        yield build.form("main", "nothing_to_compare", build.empty(said, "New experiment", "#new"))
        return
    yield build.form("top", "picker_card", [picker(data)])
    found = data.found
    if found is None:
        said = "Choose two or more experiments above; their charts, scores and settings appear here."
        yield build.form("main", "choose_first", build.empty(said, name="choose"))
        return
    yield build.form("main", "scores_card", score_items(found, data.colours))
    smoothing = smoothing_items(f"#compare/{','.join(data.ids)}", data.smoothing)
    yield build.form("side", "duels_card", [*duel_items(found), *smoothing])
    yield build.form("wide", "settings_card", setting_items(found))
    yield from chart_cards(data.charts)


def subtitle(data: Data) -> str:
    """What is compared with what."""
    if data.found is None:
        return "Experiments side by side: charts, scores, settings and single rows."
    first, *others = (record.name for record in data.found.records)
    return f"{', '.join(others)} against {first}."


def picker(data: Data) -> Any:
    """Which experiments, in the order in which they were chosen."""
    choices = [ui.choice(name=record.id, label=f"{record.name} ({record.status})") for record in data.everything]
    return ui.picker(
        name=PICKER,
        label="Experiments",
        choices=choices,
        values=list(data.ids),
        max_choices=MOST,
        trigger=True,
        tooltip=f"Two to {MOST}. The others are set against the first one.",
    )


def pick(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Another choice is another address."""
    chosen = [str(one) for one in (ctx.draft.pop(PICKER, None) or [])]
    return go(f"#compare/{','.join(chosen)}" if chosen else "#compare")


def heads(records: Sequence[ExperimentRecord], colours: Sequence[int]) -> str:
    """Markup: a column head per experiment, in the colour of its lines."""
    return "".join(
        f'<th scope="col"><span class="ls-key ls-key-{colour}"></span>'
        f"{text.link(record.name, f'#experiment/{record.id}')}</th>"
        for record, colour in zip(records, colours, strict=True)
    )


def score_items(found: Comparison, colours: Sequence[int]) -> list[Any]:
    """The score table with the best of each metric marked."""
    items: list[Any] = [
        build.heading("Scores", hint="Of the best checkpoint where there is one, else of the last evaluation.")
    ]
    items += [build.finding_bar("warning", note, name=f"note_{index}") for index, note in enumerate(found.notes)]
    if not found.scores:
        return [*items, build.paragraph("None of them has been scored yet.", quiet=True)]
    rows = []
    for score in found.scores:
        cells = "".join(
            f'<td data-label="{text.markup(record.name)}"{best_class(index in score.best)}>'
            f"{text.markup(say.score(score.metric, value))}{best_word(index in score.best)}</td>"
            for index, (record, value) in enumerate(zip(found.records, score.values, strict=True))
        )
        hint = f'<span class="ls-tile-note">{text.markup(say.HINTS[score.metric])}</span>'
        rows.append(f'<tr><th scope="row">{text.markup(say.TITLES[score.metric])}{hint}</th>{cells}</tr>')
    table = (
        f'<table class="ls-table ls-scores"><thead><tr><th></th>{heads(found.records, colours)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return [*items, build.line("score_table", table)]


def best_class(is_best: bool) -> str:
    """Markup of a cell with the best value."""
    return ' class="ls-better"' if is_best else ""


def best_word(is_best: bool) -> str:
    """The word beside the best value: never a colour alone."""
    return ' <span class="ls-cell-note ls-inline">best</span>' if is_best else ""


def duel_items(found: Comparison) -> list[Any]:
    """Rows won and lost against the first experiment."""
    first = found.records[0]
    items: list[Any] = [build.heading("Row by row", hint=f"By BLEU of each held-out row, against {first.name}.")]
    if not found.duels:
        return [*items, build.paragraph("There are no predictions for the same rows yet.", quiet=True)]
    names = {record.id: record.name for record in found.records}
    for duel in found.duels:
        items.append(ui.markup(name=f"duel_{duel.second}", content=duel_markup(duel, names[duel.second])))
    return items


def duel_markup(duel: Duel, name: str) -> str:
    """Markup: who wins how many rows, and how sure that is."""
    sentence = f"{duel.won} of {duel.rows} rows won, {duel.lost} lost, {duel.tied} equal."
    if duel.low is not None and duel.high is not None:
        sentence += (
            f" On average {duel.mean:+.1f} BLEU per row; with other rows like these it would be"
            f" {duel.low:+.1f} to {duel.high:+.1f} (95 % interval): {duel.verdict}."
        )
    else:
        sentence += " Too few rows to tell more."
    shares, start = [], 0.0
    for kind, number in (("won", duel.won), ("tied", duel.tied), ("lost", duel.lost)):
        width = 100 * number / duel.rows
        shares.append(f'<rect class="ls-{kind}" x="{start:.2f}" y="0" width="{width:.2f}" height="6"></rect>')
        start += width
    box = 'viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"'
    bar = f'<svg class="ls-duel" {box}>{"".join(shares)}</svg>'
    return f'<h3 class="ls-field-name">{text.markup(name)}</h3>{bar}<p class="ls-text">{text.markup(sentence)}</p>'


def setting_items(found: Comparison) -> list[Any]:
    """The settings that differ."""
    differing = [row for row in found.settings if row.differs]
    hint = f"{words.plural(len(found.settings) - len(differing), 'setting')} are the same."
    items: list[Any] = [build.heading("Settings that differ", hint=hint)]
    if not differing:
        return [*items, build.paragraph("All settings are the same.", quiet=True)]
    names = [record.name for record in found.records]
    rows = "".join(setting_row(row, names) for row in differing)
    titles = "".join(f'<th scope="col">{text.markup(name)}</th>' for name in names)
    table = (
        f'<table class="ls-table"><thead><tr><th scope="col">Setting</th>{titles}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return [*items, build.line("differing", table)]


def setting_row(row: SettingRow, names: Sequence[str]) -> str:
    """Markup of one setting."""
    cells = "".join(
        f'<td data-label="{text.markup(name)}">{text.markup(shown_value(value))}</td>'
        for name, value in zip(names, row.values, strict=True)
    )
    title = f'{text.markup(row.title)}<span class="ls-tile-note">{text.markup(row.path)}</span>'
    return f'<tr><th scope="row">{title}</th>{cells}</tr>'


def refresh(data: Data) -> float:
    """Often while one of them runs."""
    running = data.found is not None and any(record.status == "running" for record in data.found.records)
    return 1.0 if running else 4.0


PAGE = Page(
    route="compare",
    title="Compare",
    section="compare",
    load=load,
    cards=cards,
    refresh_seconds=refresh,
    crumbs=lambda data: [Crumb("Compare")],
    actions={PICKER: pick},
)
