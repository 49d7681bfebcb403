"""Layout "conversations": one column holds a list of {from, value}, as ShareGPT wrote it."""

from collections.abc import Sequence

from llm_studio.config import DatasetSettings
from llm_studio.data.column_names import CHAT_NAMES, SYSTEM_NAMES, TOOLS_NAMES, named, plain
from llm_studio.data.turns import answers_something, from_value, looks_like_list, read_list, tools_text, with_system
from llm_studio.data.types import Cells, Column, Conversation, Guess

READS = ("system_column", "messages_column", "tools_column")
NEEDS = (("messages_column",),)


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """The messages of a row; answers and function calls are learned, but for those with `"weight": 0`.

    A system column stands before lists that have no system message of their own.

    Raises:
        RowError: not a list of such objects, an unknown speaker, a value that is not text, no answer to learn, tools
            that are no list of schemas.
    """
    column = settings.messages_column
    found = answers_something(read_list(cells.get(column), column, from_value), column)
    tools = tools_text(cells.get(settings.tools_column), settings.tools_column) if settings.tools_column else ""
    system = cells.get(settings.system_column) if settings.system_column else None
    return Conversation(row, with_system(found, system), tools=tools)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Looks into the first rows of every column for a list of {from, value}."""
    best: Guess | None = None
    tools, system = named(TOOLS_NAMES, table, ("text", "list")), named(SYSTEM_NAMES, table, ("text",))
    for column in table:
        share = sum(looks_like_list(row.get(column.name), "from") for row in rows) / max(len(rows), 1)
        if share < 0.5:
            continue
        certainty = 0.85 + (0.1 if plain(column.name) in CHAT_NAMES else 0.0) - 0.05 * (1 - share)
        if best is None or certainty > best.certainty:
            reason = f"“{column.name}” holds lists of {{from, value}}: ShareGPT."
            reason += f" “{system}” holds the system text." if system else ""
            reason += f" “{tools}” holds the tools." if tools else ""
            settings: dict[str, object] = {
                "layout": "conversations",
                "messages_column": column.name,
                "system_column": system,
                "tools_column": tools,
            }
            best = Guess("conversations", settings, reason, certainty)
    return best
