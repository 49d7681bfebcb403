"""Tables: dense, with plain escaped cells; whole ones sort and search in the browser, paged ones ask the server.

`short_table` is markup of our own: for a few rows that need no sorting, it fits any width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from h2o_wave import ui

from llm_studio.ui import text
from llm_studio.ui.build import STATUS_COLOURS, status_tag


@dataclass(frozen=True, kw_only=True)
class Column:
    """kind: "text", "number" (sorted as a number), "link" (opens the row: the action named like the
    table gets the row's name), "status" (a word and a colour), "progress" (0 to 1), "markdown" (links of our own,
    built with `text.markdown_cell`), "menu" (commands: pairs of action and label; the action gets the row's name).
    """

    name: str
    label: str
    kind: str = "text"
    width: str = ""
    most: str = ""
    commands: tuple[tuple[str, str], ...] = ()
    filters: tuple[str, ...] = ()
    sortable: bool = True
    searchable: bool = True
    wrap: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; `name` comes back when it is chosen. Missing cells are empty."""

    name: str
    cells: Mapping[str, str]


def table(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    tooltip: str = "",
    height: str = "",
    multiple: bool = False,
    values: Sequence[str] = (),
    search: bool = True,
) -> Any:
    """A table held whole by the browser (up to about 2,000 rows). With `multiple`, the chosen rows are draft[name].

    search: whether there is a search box over the text columns.
    """
    return ui.table(
        name=name,
        columns=[_column(column if search else replace(column, searchable=False), paged=False) for column in columns],
        rows=[ui.table_row(name=row.name, cells=[_cell(row, column) for column in columns]) for row in rows],
        height=height or None,
        multiple=multiple or None,
        values=list(values) if multiple else None,
        checkbox_visibility="always" if multiple else None,
        events=["select"] if multiple else None,
        tooltip=tooltip or None,
    )


def short_table(name: str, columns: Sequence[Column], rows: Sequence[Row], *, address: str = "") -> Any:
    """A few rows as markup. A "link" opens `address` + the row's name ("#experiment/"), a "status" is a pill.

    On a narrow screen each row becomes a small block with its labels.
    """
    head = "".join(f'<th scope="col"{_number(column)}>{text.markup(column.label)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(_short_cell(row, column, address) for column in columns)}</tr>" for row in rows)
    return ui.markup(
        name=name,
        content=f'<table class="ls-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>',
    )


def _short_cell(row: Row, column: Column, address: str) -> str:
    value = text.cell(row.cells.get(column.name, ""))
    if column.kind == "link":
        shown = text.link(value, address + row.name)
    elif column.kind == "status":
        shown = status_tag(value)
    else:
        shown = text.markup(value)
    return f'<td data-label="{text.markup(column.label)}"{_number(column)}>{shown}</td>'


def _number(column: Column) -> str:
    return ' class="ls-number"' if column.kind == "number" else ""


def paged_table(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    total: int,
    page_size: int,
    height: str = "560px",
) -> Any:
    """A table of which the browser holds one page.

    The action named like the table gets Event.kind "page_change" (value {"offset": n}), "search" (value {"value": s}),
    "sort" (value {column: ascending?}), "filter" (value {column: [...]}), "reset"; keep them in ctx.state.
    """
    return ui.table(
        name=name,
        columns=[_column(column, paged=True) for column in columns],
        rows=[ui.table_row(name=row.name, cells=[_cell(row, column) for column in columns]) for row in rows],
        height=height,
        pagination=ui.table_pagination(total_rows=total, rows_per_page=page_size),
        events=["page_change", "search", "sort", "filter", "reset"],
    )


def _cell(row: Row, column: Column) -> str:
    value = row.cells.get(column.name, "")
    if column.kind in ("markdown", "progress"):
        return value
    return text.cell(value)


def _column(column: Column, *, paged: bool) -> Any:
    sortable = column.sortable and column.kind not in ("menu", "progress")
    searchable = column.searchable and column.kind in ("text", "link", "status")
    return ui.table_column(
        name=column.name,
        label=column.label,
        min_width=column.width or None,
        max_width=column.most or column.width or None,
        sortable=sortable or None,
        searchable=searchable or None,
        filterable=bool(column.filters) or None,
        filters=list(column.filters) or None if paged else None,
        link=column.kind == "link",
        data_type="number" if column.kind == "number" else None,
        cell_type=_cell_type(column),
        cell_overflow="wrap" if column.wrap else "tooltip" if column.kind == "text" else None,
    )


def _cell_type(column: Column) -> Any:
    if column.kind == "status":
        tags = [
            ui.tag(label=word, color=f"var(--ls-{colour}-soft)", label_color=f"var(--ls-{colour})")
            for word, colour in STATUS_COLOURS.items()
        ]
        return ui.tag_table_cell_type(name="tags", tags=tags)
    if column.kind == "progress":
        return ui.progress_table_cell_type(color="$themePrimary")
    if column.kind == "markdown":
        return ui.markdown_table_cell_type(target="_self")
    if column.kind == "menu":
        return ui.menu_table_cell_type(
            name="commands", commands=[ui.command(name=action, label=label) for action, label in column.commands]
        )
    return None
