"""One data set: its rows, conversations, statistics, columns and split, and the experiments that use it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.errors import UserError
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Crumb, Event, Page
from llm_studio.ui.pages import (
    dataset_columns,
    dataset_conversations,
    dataset_health,
    dataset_rows,
    dataset_sees,
    dataset_statistics,
    dataset_used_by,
)
from llm_studio.ui.pages import datasets as list_page

TABS: tuple[tuple[str, str, Any], ...] = (
    ("rows", "Rows", dataset_rows),
    ("conversations", "Conversations", dataset_conversations),
    ("statistics", "Statistics", dataset_statistics),
    ("health", "Health", dataset_health),
    ("sees", "What the model sees", dataset_sees),
    ("columns", "Columns and split", dataset_columns),
    ("used-by", "Used by", dataset_used_by),
)


@dataclass(frozen=True)
class Data:
    """body: what the open tab has read."""

    view: DatasetView
    tab: str
    part: Any
    body: Any


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Reads what the open tab needs."""
    tab = args[1] if len(args) > 1 else "rows"
    part = next((part for name, _, part in TABS if name == tab), None)
    if part is None:
        raise UserError(f"A data set has no section {tab[:40]!r}.", fix="Choose one of the tabs.")
    view = actions.show(ctx.store, args[0] if args else "")
    return Data(view, tab, part, part.load(ctx, view))


def cards(data: Data) -> Iterator[Card]:
    """Head, figures, tabs, and the open tab."""
    yield from head(data.view, data.tab)
    yield from data.part.cards(data.view, data.body)


def head(view: DatasetView, tab: str) -> list[Card]:
    """Name, main action, figures and tabs."""
    record = view.record
    address = f"#dataset/{record.id}"
    tokens = view.statistics.conversation_tokens.total if view.statistics else None
    more = [build.button(f"ask_rename/{record.id}", "Rename"), build.button(f"delete_ask/{record.id}", "Delete")]
    counted_with = f"of the text, {view.statistics.tokenizer} tokenizer" if view.statistics else "not counted yet"
    tiles = [
        ("Rows", words.count(record.row_count), words.size(record.size_bytes)),
        ("To learn from", words.count(record.train_rows), ""),
        ("Validation", words.count(record.validation_rows), own_or_share(view)),
        ("Tokens", words.short_count(tokens), counted_with),
        findings_tile(view),
    ]
    subtitle = f"{record.source} · imported {words.ago(record.created_at)}"
    return [
        build.header(
            record.name, subtitle=subtitle, action=build.primary(f"#new/{record.id}", "New experiment"), more=more
        ),
        build.stats("figures", tiles),
        build.tabs("sections", [(label, f"{address}/{name}") for name, label, _ in TABS], f"{address}/{tab}"),
    ]


def findings_tile(view: DatasetView) -> tuple[str, str, str]:
    """How many findings the health report has."""
    report = view.health.report
    if report is None:
        return ("Findings", "–", "not examined yet")
    if view.health.stale:
        return ("Findings", words.count(len(report.findings)), "before the last change")
    grave = sum(one.severity == "stops" for one in report.findings)
    return ("Findings", words.count(len(report.findings)), f"{grave} stop a start" if grave else "see Health")


def own_or_share(view: DatasetView) -> str:
    """Where the validation rows come from."""
    if view.dataset.split.own_file:
        return f"from {view.record.settings.get('validation_dataframe') or 'a file of its own'}"
    total = view.record.train_rows + view.record.validation_rows
    return f"{100 * view.record.validation_rows / max(total, 1):.1f} % of the rows"


def refresh_seconds(data: Data) -> float | None:
    """What jobs do goes on by itself."""
    waits = [data.part.refresh_seconds(data.view, data.body)]
    if is_active(data.view.counting) or is_active(data.view.updating):
        waits.append(1.0)
    return min((wait for wait in waits if wait is not None), default=None)


def cancel_job(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Ends a job of this data set; the data set stays as it was."""
    ctx.store.jobs.request_cancel(event.argument)


PAGE = Page(
    route="dataset",
    title="Data set",
    section="datasets",
    load=load,
    cards=cards,
    refresh_seconds=refresh_seconds,
    crumbs=lambda data: [Crumb("Datasets", "#datasets"), Crumb(data.view.record.name)],
    actions={
        "cancel_job": cancel_job,
        "ask_rename": list_page.ask_rename,
        "rename": list_page.rename,
        "delete_ask": list_page.ask_delete,
        "delete": list_page.delete,
        **{name: action for _, _, part in TABS for name, action in part.ACTIONS.items()},
    },
)
