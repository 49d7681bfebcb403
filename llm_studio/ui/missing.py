"""What is shown when there is nothing to show: an unknown address, a thing that is gone, a fault of our own."""

from collections.abc import Sequence

from llm_studio.errors import UserError
from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Page
from llm_studio.ui.shell import SECTIONS, fault_bar


def load(ctx: Context, args: tuple[str, ...]) -> str:
    """The address that leads nowhere."""
    return ctx.address


def cards(address: str) -> Sequence[Card]:
    """Says that there is no such page and offers the first one."""
    sentence = f"There is no page at {address[:200]}."
    return (
        build.header("Page not found"),
        build.form("main", "not_found", build.empty(sentence, "Open the first page", "#home")),
    )


def problem(page: Page, error: UserError) -> Sequence[Card]:
    """In place of a page whose load said what is wrong."""
    return (
        build.header(page.title),
        build.form("main", "problem", [build.error_bar(error, name="problem_bar"), build.row(_way_out(page))]),
    )


def fault(page: Page, reference: str) -> Sequence[Card]:
    """In place of a page that failed through a fault of ours."""
    return (build.header(page.title), build.form("main", "problem", [fault_bar(reference), build.row(_way_out(page))]))


def _way_out(page: Page) -> object:
    label, address = next(
        ((label, address) for name, label, address in SECTIONS if name == page.section and address != f"#{page.route}"),
        ("Home", "#home"),
    )
    return build.button(address, f"Open {label}")


PAGE = Page(route="404", title="Page not found", section="", load=load, cards=cards, refresh_seconds=None)
