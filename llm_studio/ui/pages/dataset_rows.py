"""The rows of a data set as its file held them: by page, by search, in the order of a column, one row in full."""

import json
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions import browsing
from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.data.conversations import conversation_at
from llm_studio.data.splitting.split import Use
from llm_studio.data.types import Cells, RowError
from llm_studio.store import JobRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, panel
from llm_studio.ui.pages import conversation_view
from llm_studio.ui.tables import Column, Row, paged_table

PAGE_ROWS = 50
SHOWN_COLUMNS = 8
TABLE_PIXELS = 960
PIXELS_PER_CHARACTER = 7
PARTS = {
    Use.LEFT_OUT: "Left out",
    Use.TRAIN: "Learned from",
    Use.VALIDATION: "Held out for validation",
    Use.TEST: "Kept for a last test",
}


@dataclass(frozen=True)
class Body:
    """A page of rows. total: rows or hits; searching and sorting: the jobs behind them."""

    rows: tuple[tuple[int, Cells], ...]
    total: int
    search: str
    order: str
    descending: bool
    searching: JobRecord | None = None
    sorting: JobRecord | None = None


def load(ctx: Context, view: DatasetView) -> Body:
    """The chosen page of the chosen rows."""
    search, order = str(ctx.state.get("search", "")), str(ctx.state.get("order", ""))
    descending, offset = bool(ctx.state.get("descending", False)), int(ctx.state.get("offset", 0))
    found = browsing.browse(
        ctx.store, view.dataset, search=search, order=order, descending=descending, offset=offset, limit=PAGE_ROWS
    )
    held = dict(view.dataset.table.take(found.rows))
    rows = tuple((row, held[row]) for row in found.rows)
    return Body(rows, found.total, search, order, descending, found.searching, found.sorting)


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """Hits and an order come by themselves."""
    return 0.4 if is_active(body.searching) or is_active(body.sorting) else None


def cards(view: DatasetView, body: Body) -> list[Card]:
    """What is looked for, and the table."""
    names = view.dataset.columns[:SHOWN_COLUMNS]
    width = max(150, TABLE_PIXELS // max(len(names), 1))
    columns = [
        Column(name="number", label="Row", kind="link", width="70px", searchable=False),
        *(Column(name=f"c{index}", label=name, width=f"{width}px") for index, name in enumerate(names)),
    ]
    shown = [
        Row(
            name=str(number),
            cells={
                "number": words.count(number + 1),
                **{f"c{index}": cell(cells[name], width // PIXELS_PER_CHARACTER) for index, name in enumerate(names)},
            },
        )
        for number, cells in body.rows
    ]
    items: list[Any] = []
    hidden = len(view.dataset.columns) - len(names)
    if hidden:
        items.append(build.paragraph(f"{words.plural(hidden, 'more column')} in each row: open it.", quiet=True))
    items += state_items(body)
    items.append(paged_table("rows", columns, shown, total=body.total, page_size=PAGE_ROWS, height="620px"))
    return [build.form("main", "rows_card", items)]


def state_items(body: Body) -> list[Any]:
    """How far a search and an order are."""
    items: list[Any] = []
    if is_active(body.searching):
        assert body.searching is not None
        said = f"“{body.search}”: {body.searching.message or 'looking through the rows'}"
        items += build.progress("search", said, body.searching.progress, cancel=f"cancel_job/{body.searching.id}")
    elif body.searching is not None and body.searching.status == "cancelled":
        said = f"The search was stopped; {words.plural(body.total, 'row')} with “{body.search}” among the first ones."
        items.append(build.paragraph(said, name="hits", quiet=True))
    elif body.search:
        items.append(
            build.paragraph(f"{words.plural(body.total, 'row')} with “{body.search}”.", name="hits", quiet=True)
        )
    if is_active(body.sorting):
        assert body.sorting is not None
        said = body.sorting.message or f"Sorting by {body.order}"
        items += build.progress("order", said, body.sorting.progress, cancel=f"cancel_job/{body.sorting.id}")
    elif body.order:
        direction = "from the highest" if body.descending else "from the lowest"
        items.append(
            build.row(
                build.paragraph(f"Sorted by {body.order}, {direction}.", name="sorted", quiet=True),
                build.button("unsort", "Order of the file"),
            )
        )
    return items


def cell(value: str | None, most: int) -> str:
    """A value in a table, cut to what fits; a missing one is marked."""
    return "–" if value is None else text.cell(value[: 4 * most], most)


def row_items(view: DatasetView, index: int, cells: Cells) -> list[Any]:
    """One row in full: every value as the file held it, and the conversation it becomes."""
    parts = []
    for name, value in cells.items():
        held = '<p class="ls-missing">missing</p>' if value is None else text.lines(pretty(value))
        if value == "":
            held = '<p class="ls-missing">empty text</p>'
        parts.append(f'<div class="ls-field"><p class="ls-field-name">{text.markup(name)}</p>{held}</div>')
    try:
        conversation = conversation_at(view.dataset.table, index, view.dataset.settings)
        shown = conversation_view.conversation_markup(conversation, title="As the model gets it")
    except RowError as error:
        shown = f'<p class="ls-missing">Left out: {text.markup(error.reason)}.</p>'
    part = PARTS[Use(int(view.dataset.split.codes[index]))]
    return [
        build.paragraph(part + ".", quiet=True),
        ui.markup(name="row_conversation", content=shown),
        ui.markup(name="row_values", content="".join(parts)),
    ]


def pretty(value: str) -> str:
    """Lists and objects with line breaks, text as it is."""
    if value[:1] not in "[{":
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except ValueError:
        return value


def rows_event(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
    """Another page, a search, an order, or one row opened."""
    value = event.value if isinstance(event.value, dict) else {}
    if event.kind == "page_change":
        ctx.state["offset"] = int(value.get("offset", 0))
    elif event.kind == "search":
        ctx.state |= {"search": str(value.get("value", "")), "offset": 0}
    elif event.kind == "reset":
        ctx.state |= {"search": "", "offset": 0}
    elif event.kind == "sort":
        name, ascending = next(iter(value.items()), ("number", True))
        names = actions.show(ctx.store, args[0]).dataset.columns
        number = name.removeprefix("c")
        column = names[int(number)] if name.startswith("c") and number.isdecimal() and int(number) < len(names) else ""
        ctx.state |= {"order": column, "descending": not ascending, "offset": 0}
    elif event.kind == "click" and event.target.isdecimal():
        view = actions.show(ctx.store, args[0])
        index = int(event.target)
        items = row_items(view, index, view.dataset.row(index))
        return panel(f"Row {index + 1:,}", *items, build.button("close", "Close"))
    return None


def unsort(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Back to the order of the file."""
    ctx.state |= {"order": "", "descending": False, "offset": 0}


ACTIONS = {"rows": rows_event, "unsort": unsort}
