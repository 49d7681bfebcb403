"""The layouts by name: which columns of a row they read and how a row becomes messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from llm_studio.catalog.formats import FORMATS
from llm_studio.config import DatasetSettings
from llm_studio.data.types import Cells, Column, Guess, Message
from llm_studio.errors import UserError


@dataclass(frozen=True)
class Layout:
    """One member of the family `data/formats`; see instruction.py for what each function promises."""

    name: str
    title: str
    columns: Callable[[DatasetSettings], tuple[str, ...]]
    messages: Callable[[Cells, DatasetSettings], tuple[Message, ...]]
    guess: Callable[[Sequence[Column], Sequence[Cells]], Guess | None]


def all_layouts() -> tuple[Layout, ...]:
    """One per line of the catalog."""
    return tuple(
        Layout(entry.name, entry.title, module.columns, module.messages, module.guess)
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
