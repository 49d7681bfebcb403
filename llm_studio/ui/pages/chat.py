"""Talk to a tuned model."""

from collections.abc import Sequence

from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page


def load(ctx: Context, args: tuple[str, ...]) -> None:
    """Nothing to read yet."""


def cards(data: None) -> Sequence[Card]:
    """A title and what to do next."""
    return (
        build.header("Chat"),
        build.form(
            "main",
            "empty_page",
            build.empty("No finished experiment to talk to yet.", "All experiments", "#experiments"),
        ),
    )


PAGE = Page(route="chat", title="Chat", section="chat", load=load, cards=cards)
