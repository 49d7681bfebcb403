"""One data set: its rows, conversations, statistics, columns and split, and the experiments that use it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView
from llm_studio.data.dataset import Part
from llm_studio.data.prepare import Preview
from llm_studio.data.staging import make_settings
from llm_studio.data.types import Cells, Conversation
from llm_studio.errors import UserError
from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, go, panel, stay
from llm_studio.ui.pages import dataset_cards, dataset_form
from llm_studio.ui.pages import datasets as list_page

PAGE_ROWS = 50
SHOWN_CONVERSATIONS = 10


@dataclass(frozen=True)
class Data:
    """What the open tab shows; only its own part is filled."""

    view: DatasetView
    tab: str
    total: int = 0
    rows: tuple[tuple[int, Cells], ...] = ()
    search: str = ""
    conversations: tuple[Conversation, ...] = ()
    part: Part = "train"
    offset: int = 0
    shown: Preview | None = None
    problem: dict[str, str] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    leave_out: bool = False
    typed: dict[str, Any] = field(default_factory=dict)


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Reads what the open tab needs."""
    tab = args[1] if len(args) > 1 else "rows"
    if tab not in dataset_cards.TABS:
        raise UserError(f"A data set has no section {tab!r}.", fix="Choose one of the tabs.")
    view = actions.show(ctx.store, args[0] if args else "")
    if tab == "rows":
        return load_rows(ctx, view)
    if tab == "conversations":
        return load_conversations(ctx, view)
    if tab == "columns":
        return load_columns(ctx, view)
    return Data(view, tab)


def load_rows(ctx: Context, view: DatasetView) -> Data:
    """One page of rows; the hits of a search are kept as long as the search stays."""
    search = str(ctx.state.get("search", ""))
    offset = int(ctx.state.get("offset", 0))
    if search:
        held = ctx.state.get("found")
        if not held or held[0] != search:
            held = (search, view.dataset.table.search(search))
            ctx.state["found"] = held
        found: Sequence[int] = held[1]
    else:
        found = range(view.dataset.row_count)
    rows = tuple(view.dataset.table.take(found[offset : offset + PAGE_ROWS]))
    return Data(view, "rows", total=len(found), rows=rows, search=search, offset=offset)


def load_conversations(ctx: Context, view: DatasetView) -> Data:
    """A page of conversations of one part."""
    part: Part = "validation" if ctx.query.get("part") == "validation" else "train"
    number = ctx.query.get("from", "0")
    offset = int(number) if number.isdecimal() else 0
    split = view.dataset.split
    rows = split.train if part == "train" else split.validation
    shown = tuple(view.dataset.read_rows(part, rows[offset : offset + SHOWN_CONVERSATIONS]))
    return Data(view, "conversations", total=len(rows), conversations=shown, part=part, offset=offset)


def load_columns(ctx: Context, view: DatasetView) -> Data:
    """The settings with the changes that are not saved yet, and what they would do."""
    changes = dict(ctx.state.get("changes", {}))
    leave_out = bool(ctx.draft.get("consent", view.leave_out))
    shown, problem = None, None
    try:
        shown = actions.preview_settings(ctx.store, view.record.id, changes)
    except UserError as error:
        problem = error.as_dict()
    return Data(
        view,
        "columns",
        shown=shown,
        problem=problem,
        changes=changes,
        leave_out=leave_out,
        typed=dict(ctx.draft),
    )


def cards(data: Data) -> Sequence[Card]:
    """Head, figures, tabs, and the open tab."""
    head = dataset_cards.head(data.view, data.tab)
    if data.tab == "rows":
        return [*head, dataset_cards.rows_card(data.view, data.rows, data.total, PAGE_ROWS, data.search)]
    if data.tab == "conversations":
        shown = dataset_cards.conversations_card(
            data.view, data.conversations, data.part, data.offset, data.total, SHOWN_CONVERSATIONS
        )
        return [*head, shown]
    if data.tab == "statistics":
        return [*head, *dataset_cards.statistics_cards(data.view)]
    if data.tab == "columns":
        form = dataset_cards.columns_cards(
            data.view, data.changes, data.shown, data.problem, data.typed, leave_out=data.leave_out
        )
        return [*head, *form]
    return [*head, dataset_cards.used_by_card(data.view)]


def refresh_seconds(data: Data) -> float | None:
    """Counting and experiments go on by themselves."""
    busy = actions.is_active(data.view.counting) or actions.is_active(data.view.updating)
    return 1.0 if busy or data.tab == "used-by" else None


def rows_event(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
    """Another page, a search, or one row opened."""
    value = event.value if isinstance(event.value, dict) else {}
    if event.kind == "page_change":
        ctx.state["offset"] = int(value.get("offset", 0))
    elif event.kind in ("search", "reset"):
        ctx.state["search"] = str(value.get("value", "")) if event.kind == "search" else ""
        ctx.state["offset"] = 0
    elif event.kind == "click" and event.target.isdecimal():
        view = actions.show(ctx.store, args[0])
        index = int(event.target)
        items = dataset_cards.row_items(view, index, view.dataset.row(index))
        return panel(f"Row {index + 1:,}", *items, build.button("close", "Close"))
    return None


def set_field(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Keeps a change until it is saved or dropped."""
    dataset = actions.show(ctx.store, args[0]).dataset
    changes = dict(ctx.state.get("changes", {}))
    settings = make_settings({**dataset.settings.model_dump(), **changes})
    changes |= dataset_form.taken(ctx.draft, event, settings, dataset.columns)
    make_settings({**dataset.settings.model_dump(), **changes})
    ctx.state["changes"] = changes


def save(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Makes the new split."""
    dataset_form.refuse_mistyped(ctx.draft)
    view = actions.show(ctx.store, args[0])
    leave_out = bool(ctx.draft.get("consent", view.leave_out))
    actions.start_update(ctx.store, args[0], ctx.state.get("changes", {}), leave_out=leave_out)
    drop(ctx, args, event)
    return stay("The rows are being checked and split anew.", "info")


def cancel_job(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Ends a job of this data set; the data set stays as it was."""
    ctx.store.jobs.request_cancel(event.argument)


def drop(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Forgets changes that are not saved."""
    ctx.state.pop("changes", None)
    for name in [name for name in ctx.draft if name.startswith(dataset_form.PREFIX) or name == "consent"]:
        ctx.draft.pop(name)


def count(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Counts the statistics anew."""
    actions.start_statistics(ctx.store, args[0])


PAGE = Page(
    route="dataset",
    title="Data set",
    section="datasets",
    load=load,
    cards=cards,
    refresh_seconds=refresh_seconds,
    crumbs=lambda data: [Crumb("Datasets", "#datasets"), Crumb(data.view.record.name)],
    actions={
        "rows": rows_event,
        "set": set_field,
        "save": save,
        "drop": drop,
        "count": count,
        "cancel_job": cancel_job,
        "experiments": lambda ctx, args, event: go(f"#experiment/{event.target}"),
        "ask_rename": list_page.ask_rename,
        "rename": list_page.rename,
        "delete_ask": list_page.ask_delete,
        "delete": list_page.delete,
    },
)
