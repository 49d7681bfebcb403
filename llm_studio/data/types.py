"""The records that flow through `data`: columns of a table, conversations, what is wrong with a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
ColumnKind = Literal["text", "number", "boolean", "list", "empty"]
Cells = Mapping[str, str | None]
"""One row: column name to text; None is a missing value, lists and objects are JSON text."""


@dataclass(frozen=True)
class Message:
    """One message; `learned` says that the model is to learn its text (answers), not only to read it.

    tool_calls: what the assistant asks of tools, JSON text of a list of {type, function: {name, arguments}}. name: who
    speaks, or which tool answers. tool_call_id: which call a tool answers. All three are empty when there is none.
    """

    role: Role
    content: str
    learned: bool = False
    tool_calls: str = ""
    name: str = ""
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """All that the message says: its content, and behind it its tool calls as JSON text."""
        return "\n".join(part for part in (self.content, self.tool_calls) if part) if self.tool_calls else self.content


@dataclass(frozen=True)
class Conversation:
    """The messages of one row; `row` counts from 0 in rows.parquet or validation.parquet (people see row + 1).

    For threads `row` is the last row of the chain. tools: the tools that the model may call, JSON text of a list of
    schemas. rejected: the text of the answer that the chosen one was preferred to. plain: a document, one message of
    role assistant that is rendered without chat markers.
    """

    row: int
    messages: tuple[Message, ...]
    tools: str = ""
    rejected: str = ""
    plain: bool = False


@dataclass(frozen=True)
class Column:
    """A column as the file held it: what kind of values, how many are missing or empty text, some of them."""

    name: str
    kind: ColumnKind
    missing: int = 0
    empty: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """A proposed layout with its settings (names of DatasetSettings) and the reason in words."""

    layout: str
    settings: dict[str, object]
    reason: str
    certainty: float
    """In [0, 1]; the highest wins."""


@dataclass(frozen=True)
class Problem:
    """Something about the data that the user should know; rows count from 0, `rows` holds the first ones."""

    severity: Literal["error", "leaves out", "warning", "note"]
    what: str
    fix: str = ""
    column: str = ""
    count: int = 0
    rows: tuple[int, ...] = ()


class RowError(ValueError):
    """A row that a format cannot turn into a conversation: in which column, and why (in words)."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
