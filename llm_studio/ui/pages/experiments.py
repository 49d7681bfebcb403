"""The list of experiments, live."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Experiments"),
        build.form(
            "main",
            "empty_page",
            build.empty("No experiments yet. Tune the bundled starter model in two minutes.", "New experiment", "#new"),
        ),
    )


PAGE = Page(route="experiments", title="Experiments", section="experiments", load=load, cards=cards)
