"""Experiments beside each other."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Compare"),
        build.form(
            "main",
            "empty_page",
            build.empty("Nothing to compare yet. Finish two experiments first.", "All experiments", "#experiments"),
        ),
    )


PAGE = Page(route="compare", title="Compare", section="compare", load=load, cards=cards)
