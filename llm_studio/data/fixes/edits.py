"""The text steps of a recipe as functions of one row: trim, replace, repair; also inside lists of messages."""

import json
import re
from collections.abc import Callable, Mapping

import ftfy

from llm_studio.data.fixes.personal import PATTERNS, masked
from llm_studio.data.types import Cells
from llm_studio.errors import UserError

Edit = Callable[[Cells], Cells]
Change = Callable[[str], str]
KEPT_KEYS = frozenset({"role", "from", "type", "id", "name", "tool_call_id"})
"""Values of messages that are no text of theirs: they steer how a conversation is read."""
REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=True,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    normalization=None,
    explain=False,
)
"""Only what is broken is mended: curly quotes, ligatures and wide characters stay as somebody wrote them."""


def repaired(text: str) -> str:
    """The text with mojibake and control characters mended; U+FFFD stays, for nobody knows what stood there."""
    return ftfy.fix_text(text, REPAIR)


def edit_of(kind: str, params: Mapping[str, object]) -> Edit:
    """The function of one step; see `recipe.Step` for kinds and params.

    Raises:
        UserError: params that are missing or cannot be used.
    """
    columns = names(params, "columns")
    nested = frozenset(names(params, "nested"))
    if not columns:
        raise UserError("The step names no columns.", where=kind, fix="Choose the columns whose text is to change.")
    change = change_of(kind, params)

    def edit(cells: Cells) -> Cells:
        changed: dict[str, str | None] = {}
        for column in columns:
            text = cells.get(column)
            if text:
                new = inside(text, change) if column in nested else change(text)
                if new != text:
                    changed[column] = new
        return {**cells, **changed} if changed else cells

    return edit


def names(params: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of column names in params; empty when it is not there."""
    found = params.get(key) or ()
    if not isinstance(found, list | tuple):
        raise UserError(f"{key} must be a list of column names, not {found!r}.", where=key, fix="Give a list.")
    return tuple(str(one) for one in found)


def change_of(kind: str, params: Mapping[str, object]) -> Change:
    """What a step does to one text."""
    if kind == "trim":
        return str.strip
    if kind == "repair":
        return repaired
    replacement = str(params.get("replacement", ""))
    if known := params.get("known"):
        found = next((one for one in PATTERNS if one.name == known), None)
        if found is None:
            raise UserError(
                f"There is no known pattern {known!r}.",
                where="known",
                fix=f"Take one of: {', '.join(one.name for one in PATTERNS)}.",
            )
        one = found
        return lambda text: masked(one, text, replacement)
    find = str(params.get("find", ""))
    if not find:
        raise UserError("There is nothing to find.", where="find", fix="Write the text that is to be replaced.")
    if not params.get("regex"):
        return lambda text: text.replace(find, replacement)
    return expression(find, replacement)


def expression(find: str, replacement: str) -> Change:
    """Replaces what a regular expression finds."""
    try:
        compiled = re.compile(find)
        compiled.sub(replacement, "")  # the replacement is read before anything is searched
    except (re.error, IndexError) as error:
        raise UserError(
            f"The regular expression cannot be used: {error}.", where="find", fix="Mend it, or search for plain text."
        ) from None
    return lambda text: compiled.sub(replacement, text)


def inside(cell: str, change: Change) -> str:
    """A cell that holds JSON, with the change applied to every text in it except those of KEPT_KEYS."""
    try:
        value = json.loads(cell)
    except ValueError:
        return cell  # the layout says what is wrong with it
    new = leaves(value, change)
    return cell if new == value else json.dumps(new, ensure_ascii=False)


def leaves(value: object, change: Change) -> object:
    """The same value with all its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [leaves(one, change) for one in value]
    if isinstance(value, dict):
        return {key: one if key in KEPT_KEYS else leaves(one, change) for key, one in value.items()}
    return value
