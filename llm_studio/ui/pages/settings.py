"""Disk use, appearance, secrets and server folders."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (build.header("Settings"), build.form("main", "empty_page", build.empty("Settings of the studio.", "", "")))


PAGE = Page(route="settings", title="Settings", section="settings", load=load, cards=cards)
