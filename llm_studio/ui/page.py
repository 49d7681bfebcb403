"""What a page is: records loaded in a thread, cards built from them alone, and actions with names.

No page touches the browser or a Wave query; the router (`router.py`) calls these parts, so a test needs no browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_studio.ui.status import Status

if TYPE_CHECKING:
    from llm_studio.store import Home, Store

ZONES = ("top", "main", "side", "grid", "wide")


@dataclass(frozen=True)
class Event:
    """What the user did: pressed a button, chose a row, changed a field with `trigger=True`.

    name: of the action. argument: what follows the first "/" of the component's name ("stop/ab12" -> "ab12").
    value: what Wave sent (True for a button, the row name for a row's menu, a dict for a table event).
    kind: "click", or the name of a component event such as "page_change", "search", "sort", "stop".
    """

    name: str
    argument: str = ""
    value: Any = None
    kind: str = "click"

    @property
    def target(self) -> str:
        """The thing the action is about: the argument of the button, else the first row name that came with it."""
        if self.argument:
            return self.argument
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, list) and self.value:
            return str(self.value[0])
        return ""


@dataclass
class Context:
    """What a page may use.

    draft: the form fields of this page as last submitted, by component name; lives as long as the browser tab and is
    shared by all addresses with the same route and first argument ("new/ab12/x" and "new/ab12/y"). Pages may write to
    it: a changed value is shown. query: the part of the address after "?". state: anything else the page wants to keep
    for this tab and address (an open row, a table's offset). preferences: remembered for the whole studio. status: the
    newest figures of the device, the queue and the disk.
    """

    store: Store
    home: Home
    route: str = ""
    args: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)
    draft: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    status: Status = field(default_factory=Status)

    @property
    def preferences(self) -> Any:
        """get(key, default) and set(key, value)."""
        return self.store.preferences

    @property
    def address(self) -> str:
        """The address of this page without its query: "#experiment/ab12/charts"."""
        return "#" + "/".join((self.route, *self.args))


@dataclass(frozen=True)
class Card:
    """One Wave card; `name` is unique in its page and stable over refreshes.

    zone: one of ZONES, from top to bottom: "top" (whole width), "main" with "side" on its right (below it on a narrow
    screen; "main" takes the whole width when no card is in "side"), "grid" (two or three cards beside each other, for
    charts), "wide" (whole width). item: a Wave card, usually from `build.form`.
    """

    zone: str
    name: str
    item: Any


@dataclass(frozen=True)
class Crumb:
    """A step of the breadcrumbs; without an address it is the page itself."""

    text: str
    address: str = ""


@dataclass(frozen=True)
class Dialog:
    """A question above the page. Names of its buttons are actions of the page; "close" closes it.

    It stays open while its action raises a UserError (shown inside it) and closes when the action succeeds.
    """

    title: str
    items: tuple[Any, ...]
    width: str = "520px"


@dataclass(frozen=True)
class Panel:
    """A side panel over the page; stays open until "close", `close()` or another page."""

    title: str
    items: tuple[Any, ...]
    width: str = "640px"


@dataclass(frozen=True)
class Download:
    """A file handed to the browser under `filename`."""

    path: Path
    filename: str


@dataclass(frozen=True)
class Outcome:
    """What the browser does after an action; made by the functions below."""

    address: str = ""
    message: str = ""
    message_kind: str = "success"
    dialog: Dialog | None = None
    panel: Panel | None = None
    closes: bool = False
    download: Download | None = None
    theme: str = ""


def go(address: str, message: str = "") -> Outcome:
    """Open another address ("#experiment/ab12"), with an optional short message there."""
    if not address.startswith("#"):
        raise ValueError(f"an address starts with #, not {address!r}")
    return Outcome(address=address, message=message)


def stay(message: str = "", kind: str = "success") -> Outcome:
    """Stay here and load again; kind: success, info, warning. Closes the dialog, keeps the side panel."""
    return Outcome(message=message, message_kind=kind)


def dialog(title: str, *items: Any, width: str = "520px") -> Outcome:
    """Ask something above the page."""
    return Outcome(dialog=Dialog(title=title, items=tuple(items), width=width))


def panel(title: str, *items: Any, width: str = "640px") -> Outcome:
    """Show something beside the page."""
    return Outcome(panel=Panel(title=title, items=tuple(items), width=width))


def close(message: str = "") -> Outcome:
    """Close the dialog and the side panel."""
    return Outcome(message=message, closes=True)


def download(path: Path, filename: str, message: str = "") -> Outcome:
    """Hand a file of the studio to the browser."""
    return Outcome(download=Download(path=path, filename=filename), message=message)


def use_theme(theme: str) -> Outcome:
    """Show the studio in the "light" or the "dark" theme from now on."""
    return Outcome(theme=theme)


Load = Callable[[Context, tuple[str, ...]], Any]
Action = Callable[[Context, tuple[str, ...], Event], "Outcome | None"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One route. `load` and actions run in a thread and may raise UserError; `cards` and `crumbs` are pure.

    refresh_seconds: how often `load` runs again while the page is open; None for a page that changes only by actions;
    or a function of the loaded data (0.1 while an answer streams, else 1.0).
    crumbs: the breadcrumbs after the section, from the loaded data; default: the title.
    keeps_draft: the draft belongs to the address, whatever tab it is open in, and survives a reload of the page.
    """

    route: str
    title: str
    section: str
    load: Load
    cards: Callable[[Any], Iterable[Card]]
    actions: Mapping[str, Action] = field(default_factory=dict)
    refresh_seconds: float | Callable[[Any], float | None] | None = 1.0
    crumbs: Callable[[Any], Sequence[Crumb]] | None = None
    keeps_draft: bool = False
