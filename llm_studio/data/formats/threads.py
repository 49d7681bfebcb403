"""Layout "threads": each row is one exchange and names the row before it; a conversation is the chain to a last row."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block, column_of, joined, joined_cells, missing_or_empty
from llm_studio.data.column_names import (
    ANSWER_NAMES,
    ID_NAMES,
    PARENT_NAMES,
    PROMPT_NAMES,
    SYSTEM_NAMES,
    filled,
    named,
    plain,
    quoted,
)
from llm_studio.data.types import Cells, Column, Conversation, Guess, Message, RowError

READS = ("id_column", "parent_id_column", "system_column", "prompt_column", "answer_column")
NEEDS = (("id_column",), ("parent_id_column",), ("answer_column",))
LINKS = ("id_column", "parent_id_column")
"""The settings that name the columns which join rows to conversations."""
SEEN_WHOLE = 50
"""With fewer rows the guess has seen the whole table."""


def chain(row: int, rows: Sequence[Cells], settings: DatasetSettings) -> Conversation:
    """The rows of a thread, first one first, as one conversation of which all answers are learned.

    The system text is that of the first row. A row before the last may lack its prompt or its answer.

    Raises:
        RowError: the last row has no answer.
    """
    last = rows[-1].get(settings.answer_column)
    if last is None:
        raise RowError(settings.answer_column, "the answer is missing")
    if not last.strip():
        raise RowError(settings.answer_column, "the answer is empty")
    system = (rows[0].get(settings.system_column) or "") if settings.system_column else ""
    found = [Message("system", system)] if system.strip() else []
    for cells in rows:
        prompt = joined_cells(cells, settings.prompt_column, settings.prompt_column_separator)
        answer = cells.get(settings.answer_column) or ""
        found += [Message("user", prompt)] if prompt else []
        found += [Message("assistant", answer, learned=True)] if answer.strip() else []
    return Conversation(row, tuple(found))


def block(batch: pa.RecordBatch, settings: DatasetSettings) -> Block:
    """Which rows of a block could be the last of a thread; they are compared by the prompt of the row itself."""
    answers = column_of(batch, settings.answer_column)
    faults = missing_or_empty(answers, settings.answer_column, "answer")
    parts = [column_of(batch, name) for name in settings.prompt_column]
    prompts = joined(parts, settings.prompt_column_separator, batch.num_rows)
    whole = joined([column_of(batch, settings.system_column), answers], "\n", batch.num_rows)
    compared = pc.if_else(pc.equal(pc.binary_length(prompts), 0), whole, prompts)
    return Block(~(faults[0].mask | faults[1].mask), compared, faults)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """An id and a parent id by their names, of which the parent ids are found among the ids."""
    kinds = ("text", "number")
    own, parent = named(ID_NAMES, table, kinds), named(PARENT_NAMES, table, (*kinds, "empty"))
    answer = named(ANSWER_NAMES, table, ("text",))
    left = [column for column in table if column.kind == "text" and column.name not in (own, parent, answer)]
    prompts = tuple(column.name for column in left if plain(column.name) in PROMPT_NAMES)
    if not own or not parent or not answer:
        return None
    ids, parents = {tidy(value) for value in filled(rows, own)}, filled(rows, parent)
    known = sum(tidy(value) in ids for value in parents)
    if len(ids) < len(filled(rows, own)) or (not known and len(rows) < SEEN_WHOLE):
        return None
    if known:
        reason, certainty = f"“{parent}” names rows by their “{own}”: threads of rows.", 0.93
    else:
        reason = f"“{own}” and “{parent}” are familiar names for threads; the first rows do not follow one another."
        certainty = 0.6
    reason += f" {quoted((*prompts, answer))} hold prompt and answer."
    settings: dict[str, object] = {
        "layout": "threads",
        "id_column": own,
        "parent_id_column": parent,
        "prompt_column": prompts,
        "answer_column": answer,
        "system_column": named(SYSTEM_NAMES, table, ("text",)),
    }
    return Guess("threads", settings, reason, certainty)


def tidy(value: str) -> str:
    """An id as it is compared: "7.0" is "7"."""
    return value.strip().removesuffix(".0")
