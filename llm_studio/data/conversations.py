"""Reads rows, or the chains of rows that end in them, as conversations, a block in memory at a time."""

from collections.abc import Iterable, Iterator

from llm_studio.config import DatasetSettings
from llm_studio.data.layouts import Layout, layout_of
from llm_studio.data.links import Links, Source, links_of
from llm_studio.data.types import Cells, Conversation, RowError
from llm_studio.errors import UserError

BLOCK_ROWS = 32_768
"""Rows of threads that are in memory at once, but for the last chain of a block."""


def conversations_of(table: Source, rows: Iterable[int], settings: DatasetSettings) -> Iterator[Conversation]:
    """The conversations of these rows, ascending; rows that the layout cannot read are passed over.

    For threads a row stands for the chain that ends in it. The split has left out rows that cannot be read.
    """
    for found in _read(table, rows, settings):
        if isinstance(found, Conversation):
            yield found


def conversation_at(table: Source, row: int, settings: DatasetSettings) -> Conversation:
    """The conversation of one row, or for threads of the chain that ends in it, even if more rows follow.

    Raises:
        RowError: the layout cannot read it.
        UserError: there is no such row.
    """
    found = next(iter(_read(table, [row], settings)), None)
    if found is None:
        raise UserError(f"There is no row {row + 1}.", where="row", fix="Choose a row of the table.")
    if isinstance(found, RowError):
        raise found
    return found


def links_for(layout: Layout, table: Source, settings: DatasetSettings) -> Links | None:
    """The threads of a table; None for a layout in which each row stands for itself."""
    if layout.links is None:
        return None
    own, parent = (str(getattr(settings, name)) for name in layout.links)
    return links_of(table, own, parent)


def _read(table: Source, rows: Iterable[int], settings: DatasetSettings) -> Iterator[Conversation | RowError]:
    layout = layout_of(settings)
    links = links_for(layout, table, settings)
    if links is not None:
        yield from _read_chains(table, rows, settings, layout, links)
    elif layout.conversation is not None:
        for row, cells in table.take(list(rows), layout.columns(settings)):
            try:
                yield layout.conversation(row, cells, settings)
            except RowError as error:
                yield error


def _read_chains(
    table: Source, rows: Iterable[int], settings: DatasetSettings, layout: Layout, links: Links
) -> Iterator[Conversation | RowError]:
    waiting: dict[int, list[int] | RowError] = {}
    held = 0
    for row in sorted(row for row in rows if 0 <= row < len(links.parents)):
        fault = next((fault for fault in links.faults if fault.mask[row]), None)
        chain = [] if fault else links.chain(row)
        waiting[row] = RowError(fault.column, fault.reason) if fault else chain
        held += len(chain)
        if held >= BLOCK_ROWS:
            yield from _chains(table, waiting, settings, layout)
            waiting, held = {}, 0
    yield from _chains(table, waiting, settings, layout)


def _chains(
    table: Source, waiting: dict[int, list[int] | RowError], settings: DatasetSettings, layout: Layout
) -> Iterator[Conversation | RowError]:
    """The chains of a block; all rows that they share are read once."""
    needed = sorted({row for chain in waiting.values() if isinstance(chain, list) for row in chain})
    cells: dict[int, Cells] = dict(table.take(needed, layout.columns(settings)))
    for row, chain in waiting.items():
        if isinstance(chain, RowError):
            yield chain
        elif layout.chain is not None:
            try:
                yield layout.chain(row, [cells[one] for one in chain], settings)
            except RowError as error:
                yield error
