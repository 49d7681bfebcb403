"""The settings of a new experiment."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("New experiment"),
        build.form(
            "main", "empty_page", build.empty("An experiment needs a data set first.", "Import data", "#import")
        ),
    )


PAGE = Page(route="new", title="New experiment", section="experiments", load=load, cards=cards)
