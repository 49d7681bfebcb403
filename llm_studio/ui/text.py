"""Makes text of data and models inert in every Wave component that would read it as Markdown or HTML.

Wave renders raw HTML in ui.text*, message_bar, markdown cells, markup and chat bubbles; each has its function here.
Plain table cells, labels, buttons, tags, text boxes, tooltips, dialog and header titles need none of them.
"""

import html
import re

# Characters with a meaning in Markdown; a backslash before them takes it away. Straight quotes, dashes and dots are
# left out of the list but broken up below, since the typographer of ui.text rewrites "--", "..." and "(c)".
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>$:@^=])")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", flags=re.DOTALL)


def plain(text: object) -> str:
    """For ui.text, text_xl ... text_xs and message_bar: shows exactly these characters, as one paragraph per line."""
    lines = str(text).splitlines() or [""]
    return "  \n".join(_inert_line(line) for line in lines)


def _inert_line(line: str) -> str:
    escaped = _MARKDOWN.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return escaped.replace('"', "&quot;").replace("'", "&#39;").lstrip(" \t") if escaped.strip() else ""


def markdown(text: object) -> str:
    """For text that is meant as Markdown (a model's answer): Markdown stays, HTML becomes visible text."""
    parts = _CODE.split(str(text))
    return "".join(
        part if index % 2 else part.replace("&", "&amp;").replace("<", "&lt;") for index, part in enumerate(parts)
    )


def markup(text: object) -> str:
    """For ui.markup and attributes in it: HTML-escaped, quotes included."""
    return html.escape(str(text), quote=True)


def lines(text: object) -> str:
    """For ui.markup: escaped, with line breaks kept by the class `ls-pre` around it."""
    return f'<div class="ls-pre">{markup(text)}</div>'


def code(text: object) -> str:
    """For ui.markup: escaped, fixed-width, scrolling sideways (logs, YAML)."""
    return f'<pre class="ls-code">{markup(text)}</pre>'


def cell(text: object, most: int = 400) -> str:
    """For a plain table cell: one line, at most `most` characters with an ellipsis."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def markdown_cell(text: object, most: int = 400) -> str:
    """For a Markdown table cell: inert and on one line."""
    return _inert_line(cell(text, most))


def link(text: object, address: str) -> str:
    """Markup of a link to an address of the studio; `address` starts with "#" or "/_f/"."""
    if not address.startswith(("#", "/_f/")):
        raise ValueError(f"not an address of the studio: {address!r}")
    return f'<a href="{markup(address)}">{markup(text)}</a>'
