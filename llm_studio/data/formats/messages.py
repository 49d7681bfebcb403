"""Layout "messages": one column holds a list of {role, content}, as the OpenAI API takes it."""

import json
from collections.abc import Sequence

from llm_studio.config import DatasetSettings
from llm_studio.data.types import Cells, Column, Guess, Message, Role, RowError

FAMILIAR_NAMES = ("messages", "conversation", "conversations", "chat", "dialog", "dialogue")
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""`developer` and `function` are the newer and the older word of the API for system and tool."""


def columns(settings: DatasetSettings) -> tuple[str, ...]:
    """The columns that `messages` reads."""
    return tuple(name for name in (settings.messages_column,) if name)


def messages(cells: Cells, settings: DatasetSettings) -> tuple[Message, ...]:
    """The messages of a row; assistant messages are learned, but for those with `"weight": 0`.

    Raises:
        RowError: not a list of messages, an unknown role, content that is not text, or no answer to learn.
    """
    column = settings.messages_column or ""
    text = cells.get(column)
    if text is None:
        raise RowError(column, "the list of messages is missing")
    try:
        items = json.loads(text)
    except ValueError:
        raise RowError(column, "the value is text, not a list of messages") from None
    if not isinstance(items, list):
        raise RowError(column, "the value is not a list of messages")
    if not items:
        raise RowError(column, "the list of messages is empty")
    found = tuple(message(item, number, column) for number, item in enumerate(items, start=1))
    if not any(one.learned and one.content.strip() for one in found):
        raise RowError(column, "there is no answer: no message of role 'assistant' with text")
    return found


def message(item: object, number: int, column: str) -> Message:
    """One message of the list; `number` counts from 1 for the error text."""
    if not isinstance(item, dict):
        raise RowError(column, f"message {number} is not an object with role and content")
    role = item.get("role")
    if role not in ROLES:
        if role is None and "from" in item:
            raise RowError(
                column, f"message {number} has 'from' and 'value' (ShareGPT) instead of 'role' and 'content'"
            )
        said = "has no role" if role is None else f"has the unknown role {role!r}"
        raise RowError(column, f"message {number} {said}; roles are system, user, assistant and tool")
    learned = ROLES[role] == "assistant" and item.get("weight") != 0
    return Message(ROLES[role], content(item, number, column), learned)


def content(item: dict[str, object], number: int, column: str) -> str:
    """The text of a message: a string, or the text parts of a list one after the other."""
    value = item.get("content")
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(part_text(part, number, column) for part in value)
    if value is None and (item.get("tool_calls") or item.get("function_call")):
        raise RowError(column, f"message {number} holds tool calls instead of text; these are not read yet")
    raise RowError(column, f"message {number} has no text in 'content'")


def part_text(part: object, number: int, column: str) -> str:
    """The text of one part of a content list."""
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise RowError(column, f"message {number} holds a part of type {kind!r}; only text is read")


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Looks into the first rows of every column for a list of {role, content}."""
    best: Guess | None = None
    for column in table:
        share = sum(looks_like_messages(row.get(column.name)) for row in rows) / max(len(rows), 1)
        if share < 0.5:
            continue
        certainty = 0.9 + (0.1 if column.name.lower() in FAMILIAR_NAMES else 0.0) - 0.05 * (1 - share)
        if best is None or certainty > best.certainty:
            reason = f"“{column.name}” holds lists of {{role, content}}: one conversation per row."
            settings: dict[str, object] = {"layout": "messages", "messages_column": column.name}
            best = Guess("messages", settings, reason, certainty)
    return best


def looks_like_messages(text: str | None) -> bool:
    """Whether a cell is a list whose first entry has a role and content."""
    if text is None or not text.lstrip().startswith("["):
        return False
    try:
        items = json.loads(text)
    except ValueError:
        return False
    return bool(items) and isinstance(items[0], dict) and "role" in items[0]
