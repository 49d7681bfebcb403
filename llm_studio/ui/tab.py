"""One browser tab: what it shows, what its user entered, and the one way to change what it shows."""

import asyncio
import copy
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from h2o_wave import ui

from llm_studio.ui import build, diff, shell
from llm_studio.ui.address import Address
from llm_studio.ui.page import Card, Dialog, Panel

DIALOG, PANEL = "studio_dialog", "studio_panel"
NOTICE_SECONDS = 8.0


@dataclass
class Tab:
    """State of one browser tab; dies with it.

    sent: by card name, the card as the browser holds it, entered values included. orders: place of a card in its zone.
    overlays: the open dialog and side panel as dumps. running: components whose action has not ended.
    generation: grows with everything the user does, so that a refresh that began before is thrown away.
    """

    address: Address = field(default_factory=lambda: Address("home"))
    theme: str = "light"
    sent: dict[str, diff.Dump] = field(default_factory=dict)
    orders: dict[str, tuple[str, float]] = field(default_factory=dict)
    overlays: dict[str, diff.Dump | None] = field(default_factory=lambda: {"dialog": None, "side_panel": None})
    drafts: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    left: dict[str, float] = field(default_factory=dict)
    notice: shell.Notice | None = None
    notice_until: float = 0.0
    error: Any = None
    download: dict[str, str] | None = None
    shown_subject: str = ""
    revision: int = 0
    sequence: int = 0
    generation: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    refresher: asyncio.Task[None] | None = None

    def tell(self, words: str, kind: str = "success") -> None:
        """Show a short word above the page for some seconds."""
        self.notice = shell.Notice(words, kind) if words else None
        self.notice_until = time.monotonic() + NOTICE_SECONDS
        self.error = None

    def forget_old_notice(self) -> None:
        """Take the notice away when its time is over."""
        if self.notice and time.monotonic() > self.notice_until:
            self.notice = None

    def inputs(self) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """Every input the browser holds: (kind, properties, whether it stands in a dialog or panel)."""
        for card in self.sent.values():
            for kind, properties in diff.components(card):
                if kind in diff.INPUTS:
                    yield kind, properties, False
        for overlay in self.overlays.values():
            for kind, properties in diff.components(overlay or {}):
                if kind in diff.INPUTS:
                    yield kind, properties, True

    def take(self, args: Mapping[str, Any], draft: dict[str, Any], submission: str) -> None:
        """Merge what a submission carries into the draft; only values of inputs that this tab holds are taken."""
        for kind, properties, above in self.inputs():
            name = properties.get("name", "")
            if name not in args or (kind == "table" and (not properties.get("multiple") or submission == name)):
                continue
            value = args[name]
            draft[name] = value
            if above:
                properties["values" if isinstance(value, list) else "value"] = value
            else:
                diff.take_value(properties, value)

    def has_button(self, name: str) -> bool:
        """True when the browser holds a button with this name."""
        places: list[Any] = [*self.sent.values(), *(overlay for overlay in self.overlays.values() if overlay)]
        return any(
            kind == "button" and properties.get("name") == name
            for place in places
            for kind, properties in diff.components(place)
        )

    def render(self, page: Any, cards: Sequence[Card], frame: Mapping[str, tuple[str, Any]]) -> None:
        """Record on the Wave page `page` what changes in the browser; the caller saves it."""
        fresh = {name: (zone, item) for name, (zone, item) in frame.items()}
        for card in cards:
            if card.name in fresh or card.name in shell.RESERVED:
                raise ValueError(f"two cards are named {card.name!r}")
            fresh[card.name] = (card.zone, card.item)
        dumps = self._dumps(fresh)
        if self.shown_subject != self.address.subject:
            self._forget_page(page, keep=frame)
            self.shown_subject = self.address.subject
        change = diff.changes(self.sent, dumps)
        _record(page, change)
        self.sent = dumps
        if change:
            self.sequence += 1

    def _forget_page(self, page: Any, keep: Mapping[str, Any]) -> None:
        for name in [name for name in self.sent if name not in keep]:
            del page[name]
            del self.sent[name]

    def _dumps(self, fresh: Mapping[str, tuple[str, Any]]) -> dict[str, diff.Dump]:
        orders = _orders(self.orders, {name: zone for name, (zone, _) in fresh.items()})
        self.orders = orders
        dumps = {}
        for name, (_, item) in fresh.items():
            dump = copy.deepcopy(item.dump())
            zone, order = orders[name]
            dump["box"] = json.dumps({"zone": zone, "order": order})
            dumps[name] = dump
        return dumps

    def open(self, kind: str, what: Dialog | Panel) -> None:
        """Remember a dialog or side panel; `show_overlays` sends it. The first item is kept free for an error."""
        items = [ui.markup(name=f"{kind}_error", content=""), *what.items]
        if kind == "dialog":
            overlay = ui.dialog(
                title=what.title, items=items, width=what.width, closable=True, name=DIALOG, events=["dismissed"]
            )
        else:
            overlay = ui.side_panel(
                title=what.title, items=items, width=what.width, closable=True, name=PANEL, events=["dismissed"]
            )
        self.overlays[kind] = copy.deepcopy(overlay.dump())

    def blame(self, kind: str, error: Any) -> None:
        """Put an error at the top of the open dialog or panel."""
        overlay = self.overlays[kind]
        if overlay:
            bar = build.error_bar(error, name=f"{kind}_error") if not isinstance(error, str) else shell.fault_bar(error)
            overlay["items"][0]["markup"]["content"] = bar.markup.content

    def show_overlays(self, page: Any, before: Mapping[str, diff.Dump | None]) -> None:
        """Send dialog and panel where they differ from `before` (copies made when the handler began)."""
        for kind, overlay in self.overlays.items():
            if overlay != before[kind]:
                page["meta"][kind] = copy.deepcopy(overlay)

    def mark(self, page: Any, *, handled: bool) -> None:
        """Write the marker: tests wait for its revision, the glue script compares its sequence."""
        if handled:
            self.revision += 1
        content = shell.marker(self.revision, self.sequence, self.download)
        page["marker"].content = content


def _record(page: Any, change: diff.Change) -> None:
    for name in change.deleted:
        del page[name]
    for name, card in change.created.items():
        page[name] = copy.deepcopy(card)
    for name, path, value in change.updates:
        reference = page[name]
        for key in path[:-1]:
            reference = reference[key]
        reference[path[-1]] = copy.deepcopy(value)


def _orders(old: Mapping[str, tuple[str, float]], zones: Mapping[str, str]) -> dict[str, tuple[str, float]]:
    """Places in each zone that keep the numbers of cards which are there already, so that only new cards move."""
    result: dict[str, tuple[str, float]] = {}
    for zone in set(zones.values()):
        names = [name for name in zones if zones[name] == zone]
        kept = [old[name][1] if name in old and old[name][0] == zone else None for name in names]
        known = [order for order in kept if order is not None]
        if known != sorted(set(known)):
            kept = [None] * len(names)
        place = 0.0
        for index, name in enumerate(names):
            own = kept[index]
            if own is None:
                following = next((order for order in kept[index + 1 :] if order is not None), None)
                own = place + 1 if following is None else (place + following) / 2
            if own <= place:  # no room left between two neighbours: number the rest anew
                own = place + 1
                kept = kept[: index + 1] + [None] * (len(names) - index - 1)
            result[name] = (zone, own)
            place = own
    return result
