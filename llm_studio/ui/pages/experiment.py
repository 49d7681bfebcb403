"""One experiment: charts, samples, logs, config, files."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Experiment"),
        build.form(
            "main", "empty_page", build.empty("This experiment does not exist.", "All experiments", "#experiments")
        ),
    )


PAGE = Page(route="experiment", title="Experiment", section="experiments", load=load, cards=cards)
