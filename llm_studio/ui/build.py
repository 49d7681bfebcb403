"""Builds cards and the components the studio uses everywhere, with safe text and our own look.

Thin and typed: everything returns Wave components (or a Card), so that pages may mix these with `h2o_wave.ui`.
Tables are in `tables.py`, charts in `draw.py`.
"""

from collections.abc import Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.errors import UserError
from llm_studio.ui import text
from llm_studio.ui.page import Card

STATUS_COLOURS = {
    "queued": "grey", "running": "blue", "loading": "blue", "ready": "green", "finished": "green", "done": "green",
    "stopped": "amber", "cancelled": "amber", "failed": "red",
}  # fmt: skip
LONGEST_TEXT = 300_000  # characters in one text area: Wave drops a whole submission above 1 MiB without a word


def form(zone: str, name: str, items: Sequence[Any], *, title: str = "") -> Card:
    """A card of components, below each other."""
    item = ui.form_card(box="", items=list(items), title=title or None)
    return Card(zone=zone, name=name, item=item)


def html_card(zone: str, name: str, content: str) -> Card:
    """A card of our own markup; every value in `content` went through `text.markup`."""
    return Card(zone=zone, name=name, item=ui.markup_card(box="", title="", content=content))


def header(
    title: str, *, subtitle: str = "", status: str = "", action: Any = None, more: Sequence[Any] = (), zone: str = "top"
) -> Card:
    """The head of a page: its title, a sentence, a status word and, on the right, one primary action after others."""
    word = status_tag(status) if status else ""
    line = f'<p class="ls-subtitle">{text.markup(subtitle)}</p>' if subtitle else ""
    words = ui.markup(name="page_title", content=f'<h1 class="ls-title">{text.markup(title)}{word}</h1>{line}')
    buttons = [*more, *([action] if action is not None else [])]
    items = [words, ui.inline(items=buttons, justify="end")] if buttons else [words]
    item = ui.form_card(box="", items=[ui.inline(items=items, justify="between", align="center")])
    return Card(zone=zone, name="page_header", item=item)


def heading(words: str, *, hint: str = "", name: str = "") -> Any:
    """A heading inside a card, with an optional sentence under it."""
    line = f'<p class="ls-hint">{text.markup(hint)}</p>' if hint else ""
    return ui.markup(name=name or None, content=f'<h2 class="ls-heading">{text.markup(words)}</h2>{line}')


def paragraph(words: str, *, name: str = "", quiet: bool = False) -> Any:
    """Plain text; every character is shown as it is."""
    kind = "ls-hint" if quiet else "ls-text"
    return ui.markup(name=name or None, content=f'<p class="{kind}">{text.markup(words)}</p>')


def stats(name: str, tiles: Sequence[tuple[str, ...]], *, zone: str = "top") -> Card:
    """A row of figures: (label, value) or (label, value, small words below)."""
    return html_card(zone, name, stats_markup(tiles))


def stats_markup(tiles: Sequence[tuple[str, ...]]) -> str:
    """The same row as markup."""
    parts = []
    for label, value, *rest in tiles:
        small = f'<span class="ls-tile-note">{text.markup(rest[0])}</span>' if rest and rest[0] else ""
        parts.append(
            f'<div class="ls-tile"><span class="ls-tile-label">{text.markup(label)}</span>'
            f'<span class="ls-tile-value">{text.markup(value)}</span>{small}</div>'
        )
    return f'<div class="ls-tiles">{"".join(parts)}</div>'


def status_tag(status: str, words: str = "") -> str:
    """Markup of a status: its word in its colour (see STATUS_COLOURS)."""
    colour = STATUS_COLOURS.get(status, "grey")
    return f'<span class="ls-status ls-{colour}">{text.markup(words or status)}</span>'


def empty(sentence: str, button: str = "", address: str = "", *, name: str = "empty", action: str = "") -> list[Any]:
    """What an empty page says: one sentence, one button that opens `address` ("#import") or runs `action`."""
    items = [ui.markup(name=name, content=f'<div class="ls-empty"><p>{text.markup(sentence)}</p></div>')]
    if button:
        items.append(ui.inline(items=[primary(action or address, button)], justify="center"))
    return items


def primary(name: str, label: str, **more: Any) -> Any:
    """The button of a page's main action; `name` is an action, or an address such as "#import"."""
    return ui.button(name=name, label=label, primary=True, **more)


def button(name: str, label: str, **more: Any) -> Any:
    """Any other button; a name that starts with "delete" or "remove" is shown in red."""
    return ui.button(name=name, label=label, **more)


def text_area(name: str, label: str, value: str, *, tooltip: str, height: str = "160px", **more: Any) -> Any:
    """Several lines of text; above LONGEST_TEXT characters the page says so while the user types (glue script)."""
    return ui.textbox(
        name=name,
        label=label,
        value=value,
        multiline=True,
        height=height,
        tooltip=tooltip,
        **{"spellcheck": False} | more,
    )


def error_bar(error: UserError | dict[str, str], *, name: str = "error_bar") -> Any:
    """What / where / how to fix, for an error of the user's own doing."""
    parts = error.as_dict() if isinstance(error, UserError) else error
    return finding_bar(
        "error", parts.get("what", ""), where=parts.get("where", ""), fix=parts.get("fix", ""), name=name
    )


def finding_bar(level: str, what: str, *, where: str = "", fix: str = "", name: str = "") -> Any:
    """An error, warning, note or success in the page. level: error, warning, note, success."""
    word = {"error": "Error", "warning": "Warning", "note": "Note", "success": "Done"}[level]
    body = f'<span class="ls-finding-what"><b>{word}:</b> {text.markup(what)}</span>'
    if where:
        body += f'<span class="ls-finding-where">Where: {text.markup(where)}</span>'
    if fix:
        body += f'<span class="ls-finding-fix">{text.markup(fix)}</span>'
    role = "alert" if level == "error" else "status"
    return ui.markup(name=name or None, content=f'<div class="ls-finding ls-{level}" role="{role}">{body}</div>')


def progress(
    name: str,
    words: str,
    share: float | None,
    *,
    note: str = "",
    cancel: str = "",
    cancel_label: str = "Cancel",
    address: str = "",
) -> list[Any]:
    """What is happening, how far it is (None: unknown) and a button to end it (`cancel` is the name of an action).

    address: makes the words a link.
    """
    items: list[Any] = [ui.markup(name=name, content=progress_markup(words, share, note, address))]
    if cancel:
        press = ui.button(name=cancel, label=cancel_label)
        items = [ui.inline(items=[*items, press], justify="between", align="center")]
    return items


def progress_markup(words: str, share: float | None, note: str = "", address: str = "") -> str:
    """The same bar as markup; it is an HTML progress element, since a strict CSP allows no style attributes."""
    known = "" if share is None else f' value="{max(0.0, min(1.0, share)):.3f}"'
    amount = "" if share is None else f"{100 * max(0.0, min(1.0, share)):.0f} %"
    title = text.link(words, address) if address else text.markup(words)
    return (
        f'<div class="ls-progress"><div class="ls-progress-words"><span>{title}</span>'
        f"<span>{text.markup(' · '.join(part for part in (amount, note) if part))}</span></div>"
        f'<progress max="1"{known} aria-label="{text.markup(words)}"></progress></div>'
    )


def line(name: str, content: str) -> Any:
    """One line of markup; every value in `content` went through `text.markup` or `text.link`."""
    return ui.markup(name=name, content=f'<div class="ls-line">{content}</div>')


def checklist(name: str, steps: Sequence[tuple[str, bool, str]]) -> Any:
    """Things to do once: (words, done, address); each ticks itself off."""
    parts = []
    for words, done, address in steps:
        mark, kind = ("✓", "done") if done else ("", "open")
        said = "done" if done else "to do"
        parts.append(
            f'<li class="ls-check ls-check-{kind}"><i aria-hidden="true">{mark}</i>{text.link(words, address)}'
            f'<span class="ls-unseen">{said}</span></li>'
        )
    return ui.markup(name=name, content=f'<ul class="ls-checks">{"".join(parts)}</ul>')


def stepper(name: str, steps: Sequence[str], current: int) -> Any:
    """Numbered steps; those before `current` (from 0) are done."""
    parts = []
    for index, words in enumerate(steps):
        state = "done" if index < current else "now" if index == current else "later"
        mark = "✓" if state == "done" else str(index + 1)
        here = ' aria-current="step"' if state == "now" else ""
        parts.append(f'<li class="ls-step ls-step-{state}"{here}><i>{mark}</i>{text.markup(words)}</li>')
    return ui.markup(name=name, content=f'<ol class="ls-steps">{"".join(parts)}</ol>')


def pairs(name: str, values: Sequence[tuple[str, str]]) -> Any:
    """A list of names and values."""
    rows = "".join(f"<dt>{text.markup(key)}</dt><dd>{text.markup(value)}</dd>" for key, value in values)
    return ui.markup(name=name, content=f'<dl class="ls-pairs">{rows}</dl>')


def tabs(name: str, items: Sequence[tuple[str, str]], current: str, *, zone: str = "top") -> Card:
    """Tabs that are addresses: (label, "#dataset/ab12/rows"); `current` is the address of the open one."""
    parts = []
    for label, address in items:
        here = ' aria-current="page"' if address == current else ""
        parts.append(f'<a class="ls-tab" href="{text.markup(address)}"{here}>{text.markup(label)}</a>')
    return html_card(zone, name, f'<nav class="ls-tabs" aria-label="Sections of this page">{"".join(parts)}</nav>')


def chips(name: str, items: Sequence[tuple[str, str]], current: str) -> Any:
    """Filters that are addresses: (label, "#experiments?status=running")."""
    parts = []
    for label, address in items:
        here = ' aria-current="true"' if address == current else ""
        parts.append(f'<a class="ls-chip" href="{text.markup(address)}"{here}>{text.markup(label)}</a>')
    return ui.markup(name=name, content=f'<div class="ls-chips">{"".join(parts)}</div>')


def log(name: str, content: str, *, follow: bool = True) -> Any:
    """Fixed-width text that scrolls by itself; with `follow` it stays at the end unless the user scrolled up."""
    mark = " ls-follow" if follow else ""
    return ui.markup(name=name, content=f'<pre class="ls-code ls-log{mark}" tabindex="0">{text.markup(content)}</pre>')


def code(name: str, content: str) -> Any:
    """Fixed-width text such as YAML or JSON."""
    return ui.markup(name=name, content=text.code(content))


def row(*items: Any, justify: str = "start", align: str = "center") -> Any:
    """Components beside each other; they wrap on a narrow screen."""
    return ui.inline(items=list(items), justify=justify, align=align)
