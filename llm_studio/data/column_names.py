"""Names that columns often have, and what their first values look like: what the layouts' guesses have in common."""

import re
from collections.abc import Iterable, Sequence

from llm_studio.data.types import Cells, Column

ANSWER_NAMES = ("output", "answer", "response", "completion", "assistant", "chosen", "target", "reply", "solution")
PROMPT_NAMES = ("instruction", "prompt", "question", "input", "user", "query", "context", "problem", "story", "text")
SYSTEM_NAMES = ("system", "system_prompt", "system_message")
TOOLS_NAMES = ("tools", "functions")
CHAT_NAMES = ("messages", "conversation", "conversations", "chat", "dialog", "dialogue")
LABEL_NAMES = (
    "label_text", "label_name", "label", "labels", "class", "class_name", "category", "categories", "sentiment",
    "intent", "emotion", "topic", "target", "rating", "stars", "score", "toxicity", "stance",
)  # fmt: skip
ID_NAMES = ("id", "message_id", "row_id", "post_id", "comment_id", "turn_id", "uid", "uuid", "index")
PARENT_NAMES = (
    "parent_id", "parent", "parent_message_id", "parent_uuid", "parent_index", "reply_to", "reply_to_id",
    "in_reply_to", "previous_id",
)  # fmt: skip
DOCUMENT_NAMES = ("text", "content", "document", "body", "passage", "article", "raw_content", "page_content")
DETAIL_NAMES = (
    "id", "url", "title", "source", "date", "timestamp", "time", "created", "lang", "language", "meta", "metadata",
    "author", "license", "licence", "split", "role", "file", "path", "dataset", "model", "username", "user_id",
    "domain",
)  # fmt: skip
"""Columns that say something about a row and are neither text to learn nor labels."""


def plain(name: str) -> str:
    """A name as it is compared: "Label Text" and "labelText" are "label_text"."""
    return re.sub(r"[\s\-.]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower()


def named(names: Iterable[str], columns: Sequence[Column], kinds: Iterable[str] = ("text", "number")) -> str:
    """The first column that has one of the names, in the order of the names; empty when there is none."""
    allowed = set(kinds)
    known = {plain(column.name): column.name for column in reversed(columns) if column.kind in allowed}
    return next((known[name] for name in names if name in known), "")


def quoted(names: Sequence[str]) -> str:
    """Names between quotation marks: “a”, “b” and “c”."""
    marked = [f"“{name}”" for name in names]
    return marked[0] if len(marked) == 1 else ", ".join(marked[:-1]) + " and " + marked[-1]


def filled(rows: Sequence[Cells], name: str) -> list[str]:
    """The values of a column that are not missing and not blank."""
    return [value for row in rows if (value := row.get(name)) is not None and value.strip()]


def mean_length(rows: Sequence[Cells], name: str) -> float:
    """Characters of a value on average; 0 without any."""
    values = filled(rows, name)
    return sum(map(len, values)) / len(values) if values else 0.0


def few_values(rows: Sequence[Cells], name: str, least_rows: int = 10) -> bool:
    """Whether short values come again and again: each one four times or more on average."""
    values = filled(rows, name)
    return (
        len(values) >= least_rows
        and 1 < len(set(values)) <= len(values) / 4
        and max(map(len, values)) <= 40
        and not any("\n" in value for value in values)
    )


def is_yes_or_no(rows: Sequence[Cells], name: str) -> bool:
    """Whether all values are true or false in one of the usual spellings."""
    values = filled(rows, name)
    return bool(values) and all(truth(value) is not None for value in values)


def truth(value: str) -> bool | None:
    """True or false in one of the usual spellings; None for anything else."""
    return {
        "true": True,
        "yes": True,
        "1": True,
        "1.0": True,
        "false": False,
        "no": False,
        "0": False,
        "0.0": False,
    }.get(value.strip().lower())
