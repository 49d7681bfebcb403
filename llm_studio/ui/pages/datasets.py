"""The list of data sets."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Datasets"),
        build.form(
            "main",
            "empty_page",
            build.empty("No data sets yet. Import a file or one of the samples.", "Import data", "#import"),
        ),
    )


PAGE = Page(route="datasets", title="Datasets", section="datasets", load=load, cards=cards)
