"""Layout "text": each row is a document of which all is learned, as in the training of a backbone itself."""

from collections.abc import Sequence

import pyarrow as pa

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block, column_of, missing_or_empty
from llm_studio.data.column_names import DETAIL_NAMES, DOCUMENT_NAMES, named, plain
from llm_studio.data.types import Cells, Column, Conversation, Guess, Message, RowError

READS = ("text_column",)
NEEDS = (("text_column",),)


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """The document as one answer without a prompt, marked as plain so that no chat markers come around it.

    Raises:
        RowError: the text is missing or blank.
    """
    text = cells.get(settings.text_column)
    if text is None:
        raise RowError(settings.text_column, "the text is missing")
    if not text.strip():
        raise RowError(settings.text_column, "the text is empty")
    return Conversation(row, (Message("assistant", text, learned=True),), plain=True)


def block(batch: pa.RecordBatch, settings: DatasetSettings) -> Block:
    """What `conversation` and `compared_text` say of all rows of a block, without a loop over rows."""
    texts = column_of(batch, settings.text_column)
    faults = missing_or_empty(texts, settings.text_column, "text")
    return Block(~(faults[0].mask | faults[1].mask), texts, faults)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """A table with one column of text, or with a familiar one beside titles, addresses and the like."""
    texts = [column.name for column in table if column.kind == "text"]
    telling = [name for name in texts if plain(name) not in DETAIL_NAMES]
    if len(texts) == 1:
        chosen, certainty = texts[0], 0.6
        reason = f"“{chosen}” is the only column with text: all of it is learned, without a prompt."
    elif len(telling) == 1 and named(DOCUMENT_NAMES, table, ("text",)) == telling[0]:
        chosen, certainty = telling[0], 0.55
        reason = f"“{chosen}” holds documents and the other columns say something about them: all of it is learned."
    else:
        return None
    return Guess("text", {"layout": "text", "text_column": chosen}, reason, certainty)
