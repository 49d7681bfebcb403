"""The layouts by name: which columns they read, and how a row, or a chain of rows, becomes a conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import pyarrow as pa

from llm_studio.catalog.formats import FORMATS
from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block
from llm_studio.data.types import Cells, Column, Conversation, Guess
from llm_studio.errors import UserError


@dataclass(frozen=True)
class Layout:
    """One member of the family `data/formats`. Either `conversation` or `chain` is there, see instruction and threads.

    reads: the settings that name its columns. needs: groups of settings of which one must be chosen. conversation:
    row number and cells to a conversation, or RowError. chain: number of the last row and the cells of all rows of its
    thread. links: the settings that name id and parent id. block: the same check for many rows at once, where there
    is one; `scan` goes row by row without it.
    """

    name: str
    title: str
    reads: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    guess: Callable[[Sequence[Column], Sequence[Cells]], Guess | None]
    conversation: Callable[[int, Cells, DatasetSettings], Conversation] | None = None
    chain: Callable[[int, Sequence[Cells], DatasetSettings], Conversation] | None = None
    links: tuple[str, str] | None = None
    block: Callable[[pa.RecordBatch, DatasetSettings], Block] | None = None

    def chosen(self, settings: DatasetSettings) -> tuple[str, ...]:
        """The columns that the settings name, in order; one that is chosen twice is there twice."""
        values = [getattr(settings, name) for name in self.reads]
        return tuple(name for value in values for name in ((value,) if isinstance(value, str) else value) if name)

    def columns(self, settings: DatasetSettings) -> tuple[str, ...]:
        """The columns that it reads, each one once."""
        return tuple(dict.fromkeys(self.chosen(settings)))


@cache
def all_layouts() -> tuple[Layout, ...]:
    """One per line of the catalog."""
    return tuple(
        Layout(
            entry.name,
            entry.title,
            module.READS,
            module.NEEDS,
            module.guess,
            conversation=getattr(module, "conversation", None),
            chain=getattr(module, "chain", None),
            links=getattr(module, "LINKS", None),
            block=getattr(module, "block", None),
        )
        for entry in FORMATS
        for module in (import_module(entry.module),)
    )


def layout_of(settings: DatasetSettings) -> Layout:
    """The layout that the settings name.

    Raises:
        UserError: there is no such layout, with those that there are.
    """
    layouts = {layout.name: layout for layout in all_layouts()}
    if settings.layout not in layouts:
        raise UserError(
            f"There is no layout {settings.layout!r}.", where="layout", fix=f"Take one of: {', '.join(layouts)}."
        )
    return layouts[settings.layout]


def with_fitting_layout(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Settings that are `changes` over a guess, with a layout that reads every column that the changes name.

    So no named column goes unread because the guess was another one. A layout that the changes name themselves stays.
    """
    columns = {name for layout in all_layouts() for name in layout.reads}
    named = {name for name, value in changes.items() if value and name in columns}
    fitting = [layout.name for layout in all_layouts() if named <= set(layout.reads)]
    if "layout" in changes or settings.get("layout") in fitting or not fitting:
        return dict(settings)
    return {**settings, "layout": fitting[0]}
