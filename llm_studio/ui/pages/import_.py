"""The wizard that imports a data set."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Import data"),
        build.form("main", "empty_page", build.empty("Choose where the data comes from.", "", "")),
    )


PAGE = Page(route="import", title="Import data", section="datasets", load=load, cards=cards)
