"""Finds the threads of a table from ids and parent ids: who follows whom, where each thread begins, what is broken.

Everything is done for all rows at once: after k rounds each row knows its ancestor 2**k rows before, so a million rows
take some twenty rounds however long the threads are, and a circle is a row that never comes to a beginning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from llm_studio.data.blocks import Fault
from llm_studio.data.normal_text import Hashes, Mask, exact_hashes
from llm_studio.data.types import Cells

Rows = npt.NDArray[np.int64]
LONGEST_THREAD = 1000
"""Rows one after the other; a longer thread is more likely a mistake in the ids than a conversation."""
WHOLE_NUMBER = r"^(-?[0-9]+)\.0+$"


class Source(Protocol):
    """What is needed of a table; `Table` in dataset.py is one."""

    path: Path

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in blocks."""

    def take(self, rows: Sequence[int], columns: Sequence[str] | None = None) -> Iterator[tuple[int, Cells]]:
        """Some rows in ascending order."""


@dataclass(frozen=True, eq=False)
class Links:
    """The threads of a table; all arrays are [rows] and must not be written to.

    parents: the row before, -1 in the first row. roots: the first row. leaves: sound rows that no sound row follows.
    trees: a hash per thread tree, never 0. faults: rows that belong to no sound thread, each in one of them.
    """

    parents: Rows
    roots: Rows
    leaves: Mask
    trees: Hashes
    faults: tuple[Fault, ...]

    @property
    def broken(self) -> Mask:
        """[rows] whether a row has a fault."""
        found = np.zeros(len(self.parents), dtype=np.bool_)
        for fault in self.faults:
            found |= fault.mask
        return found

    def chain(self, row: int) -> list[int]:
        """The rows from the first one of the thread to this one; of a sound row at most LONGEST_THREAD."""
        found = [row]
        while (before := int(self.parents[found[-1]])) >= 0 and len(found) < LONGEST_THREAD:
            found.append(before)
        return found[::-1]


def links_of(source: Source, id_column: str, parent_column: str) -> Links:
    """The threads of a table; kept for the next call as long as the file stays the same."""
    state = source.path.stat()
    return _links(_Key(source, (str(source.path), state.st_mtime_ns, state.st_size)), id_column, parent_column)


class _Key:
    """A table that is equal to another one of the same file in the same state."""

    def __init__(self, source: Source, state: tuple[Any, ...]) -> None:
        self.source = source
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.state == other.state

    def __hash__(self) -> int:
        return hash(self.state)


@lru_cache(maxsize=2)
def _links(key: _Key, id_column: str, parent_column: str) -> Links:
    blocks = list(key.source.batches(tuple(dict.fromkeys((id_column, parent_column)))))
    empty = pa.chunked_array([], pa.string())
    ids = pa.chunked_array([block.column(id_column) for block in blocks]) if blocks else empty
    parents = pa.chunked_array([block.column(parent_column) for block in blocks]) if blocks else empty
    return link(ids, parents, id_column, parent_column)


def link(ids: pa.ChunkedArray, parent_ids: pa.ChunkedArray, id_column: str, parent_column: str) -> Links:
    """Joins rows by id. A blank parent id begins a thread; a row without an id can only be a last one.

    Ids are compared as text without outer white space; "7.0" is "7", since programs that know no missing whole numbers
    write parent ids in this way.
    """
    own, named = spelled(ids), spelled(parent_ids)
    rows = np.arange(len(own), dtype=np.int64)
    coded = own.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(coded.dictionary))
    twice = (codes >= 0) & (np.append(counts, 0)[codes] > 1)
    first = np.full(len(coded.dictionary) + 1, -1, dtype=np.int64)
    first[codes[::-1]] = rows[::-1]
    first[-1] = -1
    found = pc.index_in(named, value_set=coded.dictionary, skip_nulls=True)
    begins = np.asarray(named.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    parents = first[found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)]
    orphans = ~begins & (parents < 0) & ~twice
    itself = (parents == rows) & ~twice
    stop = begins | orphans | twice | itself
    roots, depths = beginnings(np.where(stop, rows, parents))
    circles = itself | ~stop[roots]
    deep = ~circles & (depths > LONGEST_THREAD)
    starts_broken = (orphans | twice | itself)[roots]
    after = starts_broken & ~orphans & ~twice & ~circles & ~deep
    faults = (
        Fault(id_column, "the id is used by more than one row", twice, first_said(twice, own, "id")),
        Fault(parent_column, "no row has this parent id", orphans, first_said(orphans, named, "parent id")),
        Fault(parent_column, "the parent ids lead in a circle", circles & ~twice & ~orphans),
        Fault(parent_column, f"more than {LONGEST_THREAD:,} rows follow one another", deep & ~twice & ~orphans),
        Fault(parent_column, "a row before this one in its thread cannot be used", after),
    )
    sound = ~(twice | orphans | circles | deep | after)
    leaves = sound.copy()
    leaves[parents[sound & (parents >= 0) & ~begins]] = False
    trees = exact_hashes(own.fill_null(""))
    nameless = trees == 0
    trees[nameless] = exact_hashes(pa.array(rows[nameless]).cast(pa.string()))
    return Links(np.where(begins, -1, parents), roots, leaves, trees[roots], faults)


def spelled(values: pa.ChunkedArray) -> pa.Array:
    """[rows] ids as they are compared; missing where blank."""
    whole = values.combine_chunks().cast(pa.string())
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(whole), WHOLE_NUMBER, r"\1")
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)


def beginnings(before: Rows) -> tuple[Rows, Rows]:
    """[rows] the row at which going back ends, and how many rows that are. before: [rows], a beginning names itself.

    From within a circle, or on the way into one, the row that is given names another one in `before`.
    """
    rows = np.arange(len(before), dtype=np.int64)
    reached, steps = before, (before != rows).astype(np.int64)
    for _ in range(len(before).bit_length() + 1):
        further = reached[reached]
        if np.array_equal(further, reached):
            break
        steps = steps + steps[reached]
        reached = further
    return reached, steps + 1


def first_said(mask: Mask, values: pa.Array, what: str) -> str:
    """Words for the first row with the fault, with its value."""
    if not mask.any():
        return ""
    row = int(np.argmax(mask))
    return (
        f"Row {row + 1:,} has the {what} “{str(values[row])[:60]}”: give each row an id of its own, and a parent id "
        "that is one of them or is left empty."
    )
