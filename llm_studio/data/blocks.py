"""What a check of a block of rows finds: which rows can be used, by which text they are compared, what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm_studio.data.normal_text import Mask, blank
from llm_studio.data.types import Message


@dataclass(frozen=True, eq=False)
class Fault:
    """Why some rows cannot be used. mask: [rows] of the block or of the table."""

    column: str
    reason: str
    mask: Mask
    fix: str = ""


@dataclass(frozen=True, eq=False)
class Block:
    """A block of rows as checked. usable: [rows]. compared: [rows] text that says which rows have the same prompt.

    A row has at most one fault, and none if it is usable.
    """

    usable: Mask
    compared: pa.Array
    faults: tuple[Fault, ...]


def compared_text(messages: Sequence[Message]) -> str:
    """The first user message; of a conversation without one all messages, one per line."""
    first = next((one.content for one in messages if one.role == "user"), "")
    return first if first.strip() else "\n".join(one.text for one in messages)


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column of a block; nothing but missing values where no column is chosen."""
    return batch.column(name) if name else pa.nulls(batch.num_rows, pa.string())


def missing_or_empty(values: pa.Array, column: str, what: str) -> tuple[Fault, Fault]:
    """The rows in which a needed value ("answer") is missing, and those in which it is blank."""
    missing = np.asarray(values.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return (
        Fault(column, f"the {what} is missing", missing),
        Fault(column, f"the {what} is empty", blank(values) & ~missing),
    )


def without_blank(part: pa.Array) -> pa.Array:
    """The values, those that are blank as missing; the array itself when there are none."""
    mask = blank(part)
    return pc.if_else(pa.array(mask), pa.scalar(None, part.type), part) if mask.any() else part


def joined(parts: Sequence[pa.Array], separator: str, rows: int) -> pa.Array:
    """[rows] the parts one after the other; a blank part leaves no separator behind. Empty where all are blank."""
    filled = [without_blank(part) for part in parts]
    if not filled:
        return pa.array([""] * rows, pa.string())
    if len(filled) == 1:
        return pc.fill_null(filled[0], "")
    nothing = pc.is_null(filled[0])
    for part in filled[1:]:
        nothing = pc.and_(nothing, pc.is_null(part))
    # pyarrow 26 drops a row of which every part is missing, so that the rows after it would move up.
    first = pc.if_else(nothing, pa.scalar("", filled[0].type), filled[0])
    return pc.binary_join_element_wise(first, *filled[1:], separator, null_handling="skip")


def joined_cells(cells: Mapping[str, str | None], names: Sequence[str], separator: str) -> str:
    """`joined` for one row."""
    parts = [cells.get(name) or "" for name in names]
    return separator.join(part for part in parts if part.strip())
