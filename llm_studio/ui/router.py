"""Answers the browser: opens addresses, runs actions, keeps open pages fresh, turns errors into words in the page."""

import asyncio
import copy
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from h2o_wave import Q, expando_to_dict

from llm_studio.errors import UserError
from llm_studio.ui import downloads, shell
from llm_studio.ui.address import parse
from llm_studio.ui.page import Event, Outcome, Page, close
from llm_studio.ui.status import Status
from llm_studio.ui.tab import DIALOG, PANEL, Tab
from llm_studio.ui.theme import name_of as name_of_theme
from llm_studio.ui.views import IDLE_SECONDS, View, Views, reference_of

if TYPE_CHECKING:
    from llm_studio.store import Home, Store

log = logging.getLogger("llm_studio.ui")
SUBMISSION = "__wave_submission_name__"
STUDIO_EVENTS = "studio"  # what the glue script sends
SECOND_CLICK_SECONDS = 0.4


class Router:
    """Serves every tab of the app. One per process."""

    def __init__(self, *, pages: Sequence[Page], store: "Store", home: "Home") -> None:
        self._views = Views(pages=pages, store=store, home=home)
        self._store = store
        self._home = home
        self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="page")

    # ---- what Wave calls -------------------------------------------------------------------------------------------

    async def serve(self, q: Q) -> None:
        """One message of one tab. Nothing raised in here reaches Wave, which would drop the page."""
        tab: Tab | None = q.client.tab
        if q.events["@system"]:
            self._leave(q, tab)
            return
        if tab is None:
            tab = await self._open(q)
        overlays = copy.deepcopy(tab.overlays)
        tab.generation += 1
        try:
            await self._handle(q, tab)
        except Exception as fault:  # noqa: BLE001 - any fault becomes words in the page
            tab.error = reference_of(fault, "a handler failed")
        async with tab.lock:
            try:
                await self._show(q, tab)
                tab.show_overlays(q.page, overlays)
                tab.mark(q.page, handled=True)
                tab.download = None
                await q.page.save()
            except Exception as fault:  # noqa: BLE001 - Wave would drop the page
                await self._recover(q, tab, reference_of(fault, f"showing {tab.address.route} failed"))

    async def _open(self, q: Q) -> Tab:
        try:
            theme = await self._thread(self._store.preferences.get, "theme", "light")
        except Exception as fault:  # noqa: BLE001 - the page itself will say what is wrong
            theme = "light" if reference_of(fault, "the theme could not be read") else ""
        tab = Tab(theme="dark" if theme == "dark" else "light", address=parse(q.args["#"]))
        q.client.tab = tab
        self._begin(q.page, tab)
        tab.refresher = asyncio.create_task(self._refresh(q, tab))
        return tab

    def _begin(self, page: Any, tab: Tab) -> None:
        page["meta"] = shell.meta(tab.theme)
        page["marker"] = shell.marker_card()

    def _leave(self, q: Q, tab: Tab | None) -> None:
        if tab and tab.refresher:
            tab.refresher.cancel()
        q.client.tab = None

    # ---- what the user did -----------------------------------------------------------------------------------------

    async def _handle(self, q: Q, tab: Tab) -> None:
        args = dict(expando_to_dict(q.args))
        submission = str(args.pop(SUBMISSION, "") or "")
        events = {name: expando_to_dict(value) for name, value in expando_to_dict(q.events).items()}
        if submission == "#":
            self._navigate(tab, str(args.get("#") or ""))
            return
        draft = self._views.draft(tab)
        tab.take(args, draft, submission)
        for source, happened in events.items():
            for kind, value in happened.items():
                await self._happened(q, tab, source, kind, value)
        if submission and not events:
            name = self._pressed(tab, submission, args)
            await self._act(q, tab, Event(*_split(name), value=args.get(name)), name)

    def _navigate(self, tab: Tab, hash_: str) -> None:
        address = parse(hash_)
        if address != tab.address:
            tab.overlays = {"dialog": None, "side_panel": None}
            tab.error = None
            tab.address = address

    def _pressed(self, tab: Tab, submission: str, args: Mapping[str, Any]) -> str:
        """The component that was used; Wave names the last one that was written to, which may be a field beside it."""
        if tab.has_button(submission) or args.get(submission) is None:
            return submission
        return next((name for name, value in args.items() if value is True and tab.has_button(name)), submission)

    async def _happened(self, q: Q, tab: Tab, source: str, kind: str, value: Any) -> None:
        if source in (DIALOG, PANEL):
            tab.overlays["dialog" if source == DIALOG else "side_panel"] = None
        elif source == STUDIO_EVENTS:
            await self._studio_event(q, tab, kind, value)
        else:
            if kind == "select":
                tab.take({source: value}, self._views.draft(tab), "")
            await self._act(q, tab, Event(*_split(source), value=value, kind=kind), f"{source} {kind}")

    async def _studio_event(self, q: Q, tab: Tab, kind: str, value: Any) -> None:
        if kind == "theme":
            await self._use_theme(q, tab, "light" if tab.theme == "dark" else "dark")
        elif kind == "resync":
            q.page.drop()
            tab.sent.clear()
            self._begin(q.page, tab)
        elif kind == "too_big":
            tab.error = UserError(
                f"This form holds {int(value) / 1e6:.1f} MB; at most 1 MB can be sent at once.",
                fix="Shorten the longest text, or put it in a file and upload the file.",
            )

    async def _use_theme(self, q: Q, tab: Tab, theme: str) -> None:
        tab.theme = theme
        await self._thread(self._store.preferences.set, "theme", theme)
        q.page["meta"].theme = name_of_theme(theme)

    async def _act(self, q: Q, tab: Tab, event: Event, name: str) -> None:
        """Run the action `event` asks for, once; presses of the same button while it runs are ignored."""
        key = f"{tab.address.subject} {name}"
        if key in tab.running or time.monotonic() - tab.left.get(key, -60.0) < SECOND_CLICK_SECONDS:
            return
        page = self._views.pages.get(tab.address.route)
        context = self._views.context(tab)
        tab.running.add(key)
        try:
            action = page.actions.get(event.name) if page else None
            if action is not None:
                outcome = await self._thread(action, context, tab.address.args, event)
                tab.error = None
            elif event.name == "close":
                outcome = close()
            else:
                return
            await self._follow(q, tab, outcome or Outcome())
            if outcome and outcome.address:
                tab.left[key] = time.monotonic()
        except UserError as error:
            self._blame(tab, error)
        except Exception as fault:  # noqa: BLE001 - any fault becomes words in the page
            self._blame(tab, reference_of(fault, f"action {event.name} failed"))
        finally:
            tab.running.discard(key)

    def _blame(self, tab: Tab, error: Any) -> None:
        for kind in ("dialog", "side_panel"):
            if tab.overlays[kind]:
                tab.blame(kind, error)
                return
        tab.notice = None
        tab.error = error

    async def _follow(self, q: Q, tab: Tab, outcome: Outcome) -> None:
        if outcome.message:
            tab.tell(outcome.message, outcome.message_kind)
        tab.overlays["dialog"] = None
        if outcome.closes or outcome.address:
            tab.overlays["side_panel"] = None
        if outcome.dialog:
            tab.open("dialog", outcome.dialog)
        if outcome.panel:
            tab.open("side_panel", outcome.panel)
        if outcome.download:
            tab.download = await self._thread(downloads.publish, self._home, outcome.download)
        if outcome.theme:
            await self._use_theme(q, tab, outcome.theme)
        if outcome.address:
            self._navigate(tab, outcome.address)
            q.page["meta"].redirect = outcome.address

    # ---- what is shown ---------------------------------------------------------------------------------------------

    async def _show(self, q: Q, tab: Tab) -> float:
        """Load the tab's page and record what changes; returns how long to wait before the next time."""
        generation = tab.generation
        view: View
        view, status = await self._thread(self._views.read, tab)
        if generation != tab.generation:  # the user did something meanwhile; that handler shows the result
            return view.refresh_seconds
        tab.forget_old_notice()
        tab.render(q.page, view.cards, _frame(tab, view, status))
        return view.refresh_seconds

    async def _refresh(self, q: Q, tab: Tab) -> None:
        """Keeps an open page fresh until the tab leaves."""
        wait = 0.5
        while True:
            await asyncio.sleep(wait)
            async with tab.lock:
                try:
                    wait = await self._refresh_once(q, tab)
                except Exception as fault:  # noqa: BLE001 - one bad moment must not end the refreshing
                    wait = IDLE_SECONDS
                    await self._recover(q, tab, reference_of(fault, f"refreshing {tab.address.route} failed"))

    async def _refresh_once(self, q: Q, tab: Tab) -> float:
        before = tab.sequence
        wait = await self._show(q, tab)
        if tab.sequence != before:
            tab.mark(q.page, handled=False)
            await q.page.save()
        return wait

    async def _recover(self, q: Q, tab: Tab, reference: str) -> None:
        """The cards of a page could not be sent: show the fault instead, on a page made anew."""
        page = q.page = q.site[q.page.url]  # what could not be sent stays in the old one
        page.drop()
        tab.sent.clear()
        self._begin(page, tab)
        view, status = self._views.fault(tab, reference)
        tab.render(page, view.cards, _frame(tab, view, status))
        tab.mark(page, handled=True)
        try:
            await page.save()
        except Exception as fault:  # noqa: BLE001 - waved is gone; the launcher restarts it and this app
            log.warning("could not reach waved: %s", fault)

    # ---- small parts -----------------------------------------------------------------------------------------------

    async def _thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _split(name: str) -> tuple[str, str]:
    head, _, argument = name.partition("/")
    return head, argument


def _frame(tab: Tab, view: View, status: Status) -> Mapping[str, tuple[str, Any]]:
    return shell.cards(
        section=view.page.section,
        crumbs=view.crumbs,
        status=status,
        chosen_theme=tab.theme,
        notice=tab.notice,
        error=tab.error,
    )
