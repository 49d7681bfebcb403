"""Makes what a tab is to show: finds and loads the page of its address; what fails becomes a page that says so."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_studio.errors import UserError
from llm_studio.ui import missing
from llm_studio.ui.page import Card, Context, Crumb, Page
from llm_studio.ui.status import Status, StatusReader
from llm_studio.ui.tab import Tab

if TYPE_CHECKING:
    from llm_studio.store import Home, Store

log = logging.getLogger("llm_studio.ui")
IDLE_SECONDS = 2.0  # how often the device and queue indicator is read on a page that does not refresh


@dataclass(frozen=True)
class View:
    """A page ready to be shown."""

    page: Page
    cards: Sequence[Card]
    crumbs: Sequence[Crumb]
    refresh_seconds: float


class Views:
    """The pages and what they read. Its methods block, so they run in threads."""

    def __init__(self, *, pages: Sequence[Page], store: "Store", home: "Home") -> None:
        self.pages = {page.route: page for page in pages}
        if len(self.pages) != len(pages):
            raise ValueError("two pages have the same route")
        self._store = store
        self._home = home
        self._status = StatusReader(store)
        self._kept_drafts: dict[str, dict[str, Any]] = {}

    def read(self, tab: Tab) -> tuple[View, Status]:
        """The page of the tab's address, and the figures of the indicator."""
        status = self._status.read()
        return self._view(tab), status

    def fault(self, tab: Tab, reference: str) -> tuple[View, Status]:
        """In place of a page that could not be sent."""
        page = self.pages.get(tab.address.route, missing.PAGE)
        return _plain(page, missing.fault(page, reference)), self._status.last

    def _view(self, tab: Tab) -> View:
        page = self.pages.get(tab.address.route, missing.PAGE)
        try:
            data = page.load(self.context(tab), tab.address.args)
            cards = tuple(page.cards(data))
            crumbs = tuple(page.crumbs(data)) if page.crumbs else (Crumb(page.title),)
            seconds = page.refresh_seconds(data) if callable(page.refresh_seconds) else page.refresh_seconds
            return View(page, cards, crumbs, seconds or IDLE_SECONDS)
        except UserError as error:
            return _plain(page, missing.problem(page, error))
        except Exception as fault:  # noqa: BLE001 - any fault becomes words in the page
            return _plain(page, missing.fault(page, reference_of(fault, f"page {page.route} failed")))

    def context(self, tab: Tab) -> Context:
        """What the page of the tab's address may use."""
        address = tab.address
        return Context(
            store=self._store,
            home=self._home,
            route=address.route,
            args=address.args,
            query=address.query,
            draft=self.draft(tab),
            state=tab.states.setdefault(address.subject, {}),
            status=self._status.last,
        )

    def draft(self, tab: Tab) -> dict[str, Any]:
        """The draft of the tab's address: the tab's own, or the one that survives a reload."""
        page = self.pages.get(tab.address.route)
        drafts = self._kept_drafts if page and page.keeps_draft else tab.drafts
        return drafts.setdefault(tab.address.subject, {})


def _plain(page: Page, cards: Sequence[Card]) -> View:
    return View(page, cards, (Crumb(page.title),), IDLE_SECONDS)


def reference_of(fault: BaseException, words: str) -> str:
    """Log a fault of our own and return the reference that the page shows instead."""
    reference = secrets.token_hex(4)
    log.error("%s (reference %s)", words, reference, exc_info=fault)
    return reference
