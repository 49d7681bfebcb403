"""Layout "labelled": each row is a text with labels, and the model learns to answer with them."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block, Fault, column_of, joined, joined_cells, missing_or_empty
from llm_studio.data.column_names import (
    ANSWER_NAMES,
    DETAIL_NAMES,
    ID_NAMES,
    LABEL_NAMES,
    PARENT_NAMES,
    few_values,
    filled,
    is_yes_or_no,
    mean_length,
    named,
    plain,
    quoted,
)
from llm_studio.data.normal_text import blank
from llm_studio.data.types import Cells, Column, Conversation, Guess, Message, RowError

READS = ("system_column", "prompt_column", "label_column")
NEEDS = (("prompt_column",), ("label_column",))
LONGEST_LABEL = 60
SHORTEST_TEXT = 15
"""Characters on average: a shorter text beside few values is as likely another label."""


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """System text, text, and the label as the answer; several labels are one JSON object of column to value.

    Raises:
        RowError: there is no text, or a label is missing or blank.
    """
    text = joined_cells(cells, settings.prompt_column, settings.prompt_column_separator)
    if not text:
        raise RowError(settings.prompt_column[0], "the text is missing or empty")
    for name in settings.label_column:
        value = cells.get(name)
        if value is None:
            raise RowError(name, "the label is missing")
        if not value.strip():
            raise RowError(name, "the label is empty")
    labels = {name: (cells.get(name) or "").strip() for name in settings.label_column}
    answer = next(iter(labels.values()))
    if len(labels) > 1:
        answer = json.dumps({name: as_json(value) for name, value in labels.items()}, ensure_ascii=False)
    system = (cells.get(settings.system_column) or "") if settings.system_column else ""
    found = (Message("user", text), Message("assistant", answer, learned=True))
    return Conversation(row, (Message("system", system), *found) if system.strip() else found)


def as_json(value: str) -> object:
    """A number or truth value where JSON would write it just so, else the text: "4" is 4, "007" stays text."""
    try:
        read = json.loads(value)
        return read if isinstance(read, bool | int | float) and json.dumps(read) == value else value
    except ValueError:
        return value


def block(batch: pa.RecordBatch, settings: DatasetSettings) -> Block:
    """What `conversation` and `compared_text` say of all rows of a block, without a loop over rows."""
    parts = [column_of(batch, name) for name in settings.prompt_column]
    texts = joined(parts, settings.prompt_column_separator, batch.num_rows)
    wrong = blank(texts)
    faults = [Fault(settings.prompt_column[0], "the text is missing or empty", wrong)]
    for name in settings.label_column:
        for fault in missing_or_empty(column_of(batch, name), name, "label"):
            faults.append(Fault(name, fault.reason, np.asarray(fault.mask & ~wrong)))
            wrong = wrong | fault.mask
    return Block(~wrong, texts, tuple(faults))


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """A long text beside a column with a familiar name for a label, or with few short values that come again."""
    labels, reason, certainty = labels_of(table, rows)
    texts = [
        column.name
        for column in table
        if column.kind == "text"
        and column.name not in labels
        and plain(column.name) not in (*DETAIL_NAMES, *LABEL_NAMES)
        and not few_values(rows, column.name)
    ]
    if not labels or not texts:
        return None
    if mean_length(rows, texts[0]) < SHORTEST_TEXT and len(rows) >= 10:
        certainty -= 0.3
    if rival := answer_beside(table, rows, (*labels, texts[0])):
        certainty, reason = 0.2, f"{reason} “{rival}” looks like an answer in words."
    reason = f"{reason} {quoted(texts)} {'holds' if len(texts) == 1 else 'hold'} the text."
    settings: dict[str, object] = {"layout": "labelled", "prompt_column": tuple(texts), "label_column": labels}
    return Guess("labelled", settings, reason, certainty)


def labels_of(table: Sequence[Column], rows: Sequence[Cells]) -> tuple[tuple[str, ...], str, float]:
    """The columns that look like labels, why, and how certain that is."""
    kinds = ("text", "number", "boolean")
    familiar = named(LABEL_NAMES, table, kinds)
    values = filled(rows, familiar)
    if familiar and values and max(map(len, values)) <= LONGEST_LABEL:
        if few_values(rows, familiar):
            shown = quoted(sorted(set(values))[:3])
            return (familiar,), f"“{familiar}” holds labels: few values such as {shown} that come again.", 0.85
        certainty = 0.7 if len(rows) < 10 else 0.65 if len(set(values)) < len(values) else 0.5
        return (familiar,), f"“{familiar}” is a familiar name for a label.", certainty
    unnamed = tuple(
        column.name
        for column in table
        if column.kind in kinds
        and plain(column.name) not in (*DETAIL_NAMES, *ID_NAMES, *PARENT_NAMES)
        and (column.kind == "boolean" or plain(column.name) not in ANSWER_NAMES)
        and few_values(rows, column.name)
        and (column.kind != "number" or is_yes_or_no(rows, column.name))
    )
    if not unnamed:
        return (), "", 0.0
    words = "holds few short values" if len(unnamed) == 1 else "hold few short values"
    return unnamed, f"{quoted(unnamed)} {words} that come again, as labels do.", 0.62


def answer_beside(table: Sequence[Column], rows: Sequence[Cells], taken: Sequence[str]) -> str:
    """A column that is named like an answer and is no label itself: then the labels only say something about it."""
    left = [column for column in table if column.name not in taken and not few_values(rows, column.name)]
    return named(ANSWER_NAMES, left, ("text",))
