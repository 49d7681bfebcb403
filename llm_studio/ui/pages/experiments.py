"""The list of experiments: status, progress and scores, live; stop, rename, continue, compare, delete."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, go, stay
from llm_studio.ui.pages import experiment_verbs as verbs
from llm_studio.ui.pages import experiment_words as say
from llm_studio.ui.tables import Column, Row, table

STATUSES = ("running", "queued", "finished", "stopped", "failed")
TABLE = "experiments"
COLUMNS = (
    Column(name="name", label="Name", kind="link", width="150px"),
    Column(name="status", label="Status", kind="status", width="78px"),
    Column(name="now", label="What happens", kind="markdown", width="206px", sortable=False),
    Column(name="perplexity", label="Perplexity", kind="markdown", width="96px"),
    Column(name="bleu", label="BLEU", kind="markdown", width="96px"),
    Column(name="exact_match", label="Exact match", kind="markdown", width="96px"),
    Column(name="gpt", label="Judge", kind="markdown", width="88px"),
    Column(name="dataset", label="Data set", width="92px"),
    Column(name="when", label="Created", width="72px", searchable=False),
    Column(
        name="menu",
        label="",
        kind="menu",
        width="40px",
        commands=(
            ("open", "Open"),
            ("stop", "Stop"),
            ("continue", "Continue"),
            ("ask_more", "More epochs"),
            ("restart", "Restart"),
            ("new_from", "New from this"),
            ("ask_rename", "Rename"),
            ("ask_delete", "Delete"),
        ),
    ),
)
NARROWER = {"name": "130px", "now": "140px", "perplexity": "88px", "bleu": "88px"}


@dataclass(frozen=True)
class Data:
    """records: those that the filter lets through. positions: place in the queue by id. now: for "5 min ago"."""

    records: tuple[ExperimentRecord, ...]
    counts: dict[str, int]
    positions: dict[str, int]
    status: str
    chosen: tuple[str, ...]
    has_datasets: bool
    now: float


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """One read of the list."""
    everything = ctx.store.experiments.list()
    status = ctx.query.get("status", "")
    shown = tuple(record for record in everything if status in ("", record.status))
    waiting = sorted((one for one in everything if one.status == "queued"), key=lambda one: one.queue_position or 0)
    chosen = ctx.draft.get(TABLE) or []
    return Data(
        records=shown,
        counts={word: sum(1 for one in everything if one.status == word) for word in STATUSES},
        positions={record.id: place for place, record in enumerate(waiting, start=1)},
        status=status if status in STATUSES else "",
        chosen=tuple(one for one in chosen if any(record.id == one for record in shown)),
        has_datasets=bool(everything) or bool(ctx.store.datasets.list()),
        now=time.time(),
    )


def cards(data: Data) -> Iterator[Card]:
    """Filters and the table, or what to do when there is nothing yet."""
    total = sum(data.counts.values())
    if not total:
        yield build.header("Experiments")
        yield build.form("main", "empty_page", empty_items(data))
        return
    yield build.header(
        "Experiments",
        subtitle=summary(data),
        action=build.primary("#new", "New experiment"),
        more=[
            build.button("compare", "Compare", disabled=len(data.chosen) < 2),
            build.button("delete_chosen", "Delete", disabled=not data.chosen),
        ],
    )
    filters = [(f"All {total}", "#experiments")]
    filters += [(f"{word.capitalize()} {data.counts[word]}", f"#experiments?status={word}") for word in STATUSES]
    current = f"#experiments?status={data.status}" if data.status else "#experiments"
    items: list[Any] = [build.chips("filters", filters, current)]
    if data.records:
        rows = [row(one, data) for one in data.records]
        items.append(table(TABLE, columns(data.records), rows, multiple=True, values=data.chosen, height=height(data)))
        items.append(build.line("narrow_list", narrow(data)))
    else:
        items += build.empty(f"No experiment is {data.status}.", name="none_here")
    yield build.form("main", "list_card", items)


def columns(records: Sequence[ExperimentRecord]) -> tuple[Column, ...]:
    """That of the judge only where one was asked; then the others make room for it."""
    if any("gpt" in scores for record in records for scores in record.scores.values()):
        return tuple(replace(one, width=NARROWER.get(one.name, one.width)) for one in COLUMNS)
    return tuple(one for one in COLUMNS if one.name != "gpt")


def height(data: Data) -> str:
    """Room for the rows, so that a short list does not scroll within itself: Wave wants a fixed height."""
    return f"{min(900, 140 + sum(132 if record.status == 'failed' else 70 for record in data.records))}px"


def summary(data: Data) -> str:
    """What runs and waits, and how to choose."""
    if data.chosen:
        return f"{words.plural(len(data.chosen), 'experiment')} chosen."
    parts = [f"{data.counts[word]} {word}" for word in ("running", "queued", "failed") if data.counts[word]]
    return f"{', '.join(parts)}. Choose several to compare them." if parts else "Choose several to compare them."


def empty_items(data: Data) -> list[Any]:
    """One sentence, one button."""
    if data.has_datasets:
        said = "No experiments yet. An experiment tunes a backbone on one of your data sets; the starter takes minutes."
        return build.empty(said, "New experiment", "#new")
    said = (
        "No experiments yet. Import a data set first, or a sample of the studio; then tune the bundled starter model."
    )
    return build.empty(said, "Import data", "#import")


def row(record: ExperimentRecord, data: Data) -> Row:
    """One line of the table."""
    cells = {metric: score_cell(record, metric) for metric in say.METRICS}
    return Row(
        name=record.id,
        cells={
            "name": record.name,
            "status": record.status,
            "now": now_cell(record, data.positions.get(record.id, 0)),
            "dataset": record.dataset_name,
            "when": words.ago(record.created_at, data.now),
            **cells,
        },
    )


def narrow(data: Data) -> str:
    """Markup of the same list for a telephone, where the table does not fit: a block per experiment."""
    blocks = []
    for record in data.records:
        name = text.link(record.name, f"#experiment/{record.id}")
        scores = " · ".join(
            f"{say.TITLES[metric]} {say.score(metric, value)}"
            for metric in say.METRICS
            if isinstance(value := say.kept(record)[1].get(metric), int | float)
        )
        happens = [say.now(record, data.positions.get(record.id, 0))] if record.status in ("queued", "running") else []
        if record.status == "running":
            happens += [f"{100 * record.progress:.0f} %", say.left(record)]
        if record.status == "failed":
            happens = [" ".join(str((record.error or {}).get(part, "")) for part in ("what", "fix"))]
        lines = (" · ".join(part for part in happens if part), scores)
        said = "".join(f'<p class="ls-hint">{text.markup(line)}</p>' for line in lines if line)
        blocks.append(
            f'<div class="ls-block"><p class="ls-text">{name} {build.status_tag(record.status)}</p>{said}</div>'
        )
    if len(blocks) > 1:
        blocks.append(f'<p class="ls-text">{text.link("Compare experiments", "#compare")}</p>')
    return f'<div class="ls-narrow">{"".join(blocks)}</div>'


def now_cell(record: ExperimentRecord, position: int) -> str:
    """Progress while it runs, cause and fix when it failed, the time it took when it ended."""
    if record.status == "failed":
        error = record.error or {}
        fix = small(str(error.get("fix", ""))) if error.get("fix") else ""
        return f'<span class="ls-cell ls-cell-bad">{inert(str(error.get("what", "Failed.")))}</span>{fix}'
    if record.status == "running":
        note = " · ".join(part for part in (f"{100 * record.progress:.0f} %", say.left(record)) if part)
        bar = f'<progress class="ls-cell-bar" max="1" value="{record.progress:.2f}"></progress>'
        return f'<span class="ls-cell">{inert(say.now(record))}</span>{bar}{small(note)}'
    if record.status == "queued":
        return f'<span class="ls-cell">{inert(say.now(record, position))}</span>'
    words_ = f"Took {say.took(record)}" if say.took(record) else ""
    if record.status == "stopped":
        words_ = f"Stopped at {100 * record.progress:.0f} %"
    return f'<span class="ls-cell">{inert(words_)}</span>'


def score_cell(record: ExperimentRecord, metric: str) -> str:
    """The score of the kept weights, which moment it is of, and that of the untuned backbone; sortable as text."""
    moment, scores = say.kept(record)
    value = scores.get(metric)
    if not isinstance(value, int | float):
        return '<i hidden>z</i><span class="ls-cell">–</span>'
    key = f"<i hidden>{value:020.6f}</i>"
    if moment == "before":
        return f'{key}<span class="ls-cell">{inert(say.score(metric, value))}</span>{small("untuned")}'
    last = (record.scores.get("last") or {}).get(metric)
    before = (record.scores.get("before") or {}).get(metric)
    label = f'<span class="ls-cell-note ls-inline">{moment}</span>'
    lines = f'{key}<span class="ls-cell ls-cell-score">{inert(say.score(metric, value))} {label}</span>'
    if moment == "best" and isinstance(last, int | float) and say.score(metric, last) != say.score(metric, value):
        lines += small(f"last {say.score(metric, last)}")
    if isinstance(before, int | float):
        lines += small(f"untuned {say.score(metric, before)}")
    return lines


def inert(value: str) -> str:
    """Text of data or a model for a Markdown cell."""
    return text.markdown_cell(value, most=260)


def small(value: str) -> str:
    """A second, quiet line in a cell."""
    return f'<span class="ls-cell ls-cell-note">{inert(value)}</span>'


def compare(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Opens the comparison of the chosen ones."""
    chosen = list(ctx.draft.get(TABLE) or [])
    if len(chosen) < 2:
        raise UserError("Two experiments are needed to compare.", where="list", fix="Tick two or more in the list.")
    return go(f"#compare/{','.join(chosen)}")


def ask_delete_chosen(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks once for all chosen ones."""
    return verbs.ask_delete_of(ctx, list(ctx.draft.get(TABLE) or []))


def delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Deletes what the dialog named."""
    names = verbs.delete_all(ctx, event.argument.split(","))
    ctx.draft[TABLE] = []
    return stay(f"Deleted {names}.")


PAGE = Page(
    route="experiments",
    title="Experiments",
    section="experiments",
    load=load,
    cards=cards,
    refresh_seconds=lambda data: 1.0 if data.counts["running"] or data.counts["queued"] else 3.0,
    crumbs=lambda data: [Crumb("Experiments")],
    actions={
        TABLE: lambda ctx, args, event: None if event.kind == "select" else go(f"#experiment/{event.target}"),
        "open": lambda ctx, args, event: go(f"#experiment/{event.target}"),
        "compare": compare,
        "delete_chosen": ask_delete_chosen,
        "delete_now": delete,
        "ask_more": verbs.ask_more,
        "more": verbs.more,
        "restart": verbs.ask_restart,
        "restart_now": verbs.restart,
        "new_from": verbs.new_from,
        "stop": verbs.stop,
        "continue": verbs.continue_,
        "ask_rename": verbs.ask_rename,
        "rename": verbs.rename,
        "ask_delete": verbs.ask_delete,
    },
)
