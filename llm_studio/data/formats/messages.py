"""Layout "messages": one column holds a list of {role, content}, as the OpenAI API takes it, tool calls included."""

from collections.abc import Sequence

from llm_studio.config import DatasetSettings
from llm_studio.data.column_names import CHAT_NAMES, TOOLS_NAMES, named, plain
from llm_studio.data.turns import answers_something, looks_like_list, read_list, role_content, tools_text
from llm_studio.data.types import Cells, Column, Conversation, Guess

READS = ("messages_column", "tools_column")
NEEDS = (("messages_column",),)


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """The messages of a row; assistant messages are learned, but for those with `"weight": 0`.

    Raises:
        RowError: not a list of messages, an unknown role, content that is not text, no answer to learn, tools that are
            no list of schemas.
    """
    column = settings.messages_column
    found = answers_something(read_list(cells.get(column), column, role_content), column)
    tools = tools_text(cells.get(settings.tools_column), settings.tools_column) if settings.tools_column else ""
    return Conversation(row, found, tools=tools)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Looks into the first rows of every column for a list of {role, content}."""
    best: Guess | None = None
    tools = named(TOOLS_NAMES, table, ("text", "list"))
    for column in table:
        share = sum(looks_like_list(row.get(column.name), "role") for row in rows) / max(len(rows), 1)
        if share < 0.5 or column.name == tools:
            continue
        certainty = 0.85 + (0.1 if plain(column.name) in CHAT_NAMES else 0.0) - 0.05 * (1 - share)
        if best is None or certainty > best.certainty:
            reason = f"“{column.name}” holds lists of {{role, content}}: one conversation per row."
            reason += f" “{tools}” holds the tools." if tools else ""
            settings: dict[str, object] = {"layout": "messages", "messages_column": column.name, "tools_column": tools}
            best = Guess("messages", settings, reason, certainty)
    return best
