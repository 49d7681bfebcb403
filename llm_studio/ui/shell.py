"""What surrounds every page: navigation, breadcrumbs, the live device and queue indicator, the theme switch, notices.

All of it is our own markup (real links, landmarks and headings); the glue script turns `data-action` into an action.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.errors import UserError
from llm_studio.ui import build, icons, text, theme
from llm_studio.ui.page import Crumb
from llm_studio.ui.status import Status

SECTIONS = (
    ("home", "Home", "#home"),
    ("datasets", "Datasets", "#datasets"),
    ("experiments", "Experiments", "#experiments"),
    ("compare", "Compare", "#compare"),
    ("chat", "Chat", "#chat"),
    ("settings", "Settings", "#settings"),
)
RESERVED = frozenset({"meta", "side_nav", "head_menu", "head_crumbs", "head_status", "head_theme", "marker", "notice"})


@dataclass(frozen=True)
class Notice:
    """A short word above the page after an action. kind: success, info, warning."""

    words: str
    kind: str = "success"


def meta(chosen: str) -> Any:
    """The card that carries theme and layout; sent once, when a tab opens."""
    return ui.meta_card(
        box="",
        title="LLM Studio",
        theme=theme.name_of(chosen),
        themes=theme.themes(),
        layouts=theme.layouts(),
        animate=False,
    )


def cards(
    *, section: str, crumbs: Sequence[Crumb], status: Status, chosen_theme: str, notice: Notice | None, error: Any
) -> dict[str, tuple[str, Any]]:
    """The cards around a page, by name: (zone, Wave card)."""
    other = "light" if chosen_theme == "dark" else "dark"
    switch = (
        f'<button class="ls-icon-button" type="button" data-action="studio.theme" data-studio-theme="{chosen_theme}"'
        f' title="Use the {other} theme" aria-label="Use the {other} theme">'
        f"{icons.svg('sun' if other == 'light' else 'moon')}</button>"
    )
    menu = (
        f'<details class="ls-menu"><summary aria-label="Navigation" title="Navigation">{icons.svg("menu")}</summary>'
        f"{_links(section)}</details>"
    )
    return {
        "side_nav": (
            "nav",
            _markup(f'<a class="ls-skip" href="#" data-skip>Skip to the page</a>{_brand()}{_links(section)}'),
        ),
        "head_menu": ("header", _markup(menu)),
        "head_crumbs": ("header", _markup(_crumbs(crumbs))),
        "head_status": ("header", _markup(status_markup(status))),
        "head_theme": ("header", _markup(switch)),
        "notice": ("notices", ui.form_card(box="", items=_notices(notice, error))),
    }


def _markup(content: str) -> Any:
    return ui.markup_card(box="", title="", content=content, compact=True)


def _notices(notice: Notice | None, error: Any) -> list[Any]:
    bar = ui.markup(name="notice_bar", content="")
    if error is not None:
        bar = build.error_bar(error, name="notice_bar") if isinstance(error, UserError) else fault_bar(error)
    elif notice is not None:
        role = "alert" if notice.kind == "warning" else "status"
        words = text.markup(notice.words)
        bar = ui.markup(
            name="notice_bar", content=f'<div class="ls-notice ls-{notice.kind}" role="{role}">{words}</div>'
        )
    return [bar]


def fault_bar(reference: str) -> Any:
    """What a page shows for a fault of our own: plain words and the reference under which the log has the details."""
    return build.finding_bar(
        "error",
        "Something in the studio went wrong. Your input is kept.",
        fix=f"Try again; if it happens again, look for reference {reference} in the studio's log.",
        name="notice_bar",
    )


def _brand() -> str:
    return f'<a class="ls-brand" href="#home">{icons.svg("brand")}<span>LLM Studio</span></a>'


def _links(section: str) -> str:
    parts = []
    for name, label, address in SECTIONS:
        here = ' aria-current="page"' if name == section else ""
        parts.append(
            f'<a class="ls-nav-link" href="{address}"{here} data-test="nav_{name}">{icons.svg(name)}{label}</a>'
        )
    return f'<nav class="ls-nav" aria-label="Studio">{"".join(parts)}</nav>'


def _crumbs(crumbs: Sequence[Crumb]) -> str:
    parts = []
    for crumb in crumbs:
        words = text.markup(crumb.text)
        if crumb.address:
            parts.append(f'<li><a href="{text.markup(crumb.address)}">{words}</a></li>')
        else:
            parts.append(f'<li aria-current="page">{words}</li>')
    title = text.markup(" · ".join([crumb.text for crumb in reversed(crumbs)] + ["LLM Studio"]))
    return f'<nav aria-label="Breadcrumbs" data-title="{title}"><ol class="ls-crumbs">{"".join(parts)}</ol></nav>'


def status_markup(status: Status) -> str:
    """The device and queue indicator: a dot, what runs, what waits, how busy the device is."""
    if status.running:
        head = f"{status.running} running"
        dot = "blue"
    else:
        head, dot = "Idle", "grey"
    waiting = f", {status.queued} queued" if status.queued else ""
    return (
        f'<a class="ls-device" href="#experiments" title="{text.markup(status.sentence)}" data-test="device">'
        f'<i class="ls-dot ls-{dot}"></i><span>{head}{waiting}</span>'
        f'<span class="ls-device-load">{text.markup(status.device)} {status.load_percent} %</span></a>'
    )


def marker_card() -> Any:
    """The card that holds the marker."""
    return ui.markup_card(box="marker", title="", content="")


def marker(revision: int, sequence: int, download: Mapping[str, str] | None) -> str:
    """The hidden element that says how far a tab is: tests wait for `data-rev`, the glue script checks `data-seq`."""
    link = ""
    if download:
        link = (
            f'<a hidden data-download href="{text.markup(download["url"])}"'
            f' download="{text.markup(download["filename"])}"></a>'
        )
    return f'<i hidden data-rev="{revision}" data-seq="{sequence}"></i>{link}'
