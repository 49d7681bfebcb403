"""One data set: rows, statistics, what the model sees."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Data set"),
        build.form("main", "empty_page", build.empty("This data set does not exist.", "All data sets", "#datasets")),
    )


PAGE = Page(route="dataset", title="Data set", section="datasets", load=load, cards=cards)
