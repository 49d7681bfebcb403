"""The first page: what runs, what was done, what to do next."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Home"),
        build.form(
            "main",
            "empty_page",
            build.empty("No experiments yet. Tune the bundled starter model in two minutes.", "Import data", "#import"),
        ),
    )


PAGE = Page(route="home", title="Home", section="home", load=load, cards=cards)
