"""Writes blocks of text columns to one Parquet file and counts kinds, missing and empty values, and a hash."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_studio.data.types import Column, ColumnKind

GROUP_ROWS = 1024
COMPRESSION = "snappy"
"""Every check, search and page reads the rows again: zstd takes half the space and three times the time of this."""
GROUP_BYTES = 16 * 2**20
GROUPS_AHEAD = 2
EXAMPLES = 3
EXAMPLE_CHARACTERS = 200
NUMBER = r"^\s*[-+]?(\d+([.,]\d+)*|\.\d+)([eE][-+]?\d+)?\s*$"


@dataclass
class ColumnCount:
    """What is known of a column so far; the hashes do not depend on how the rows came in blocks."""

    kinds: set[ColumnKind] = field(default_factory=set)
    missing: int = 0
    empty: int = 0
    examples: list[str] = field(default_factory=list)
    lengths: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    text: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    may_be_number: bool = True

    def add(self, values: pa.StringArray, kinds: set[ColumnKind] | None) -> None:
        """Counts a block; without kinds (CSV) a column of nothing but numbers is called a number."""
        filled = pc.fill_null(values, "") if values.null_count else values
        lengths = np.array(pc.binary_length(values).fill_null(-1).to_numpy(zero_copy_only=False), dtype="<i8")
        self.lengths.update(lengths.tobytes())
        self.text.update(text_bytes(filled))
        self.missing += values.null_count
        self.empty += int((lengths == 0).sum())
        if len(self.examples) < EXAMPLES:
            some = pc.drop_null(values.slice(0, 100)).to_pylist()
            self.examples += [text[:EXAMPLE_CHARACTERS] for text in some if text.strip()]
            self.examples = self.examples[:EXAMPLES]
        if kinds is not None:
            self.kinds |= kinds
        elif values.null_count < len(values):
            if self.may_be_number:
                self.may_be_number = bool(pc.all(pc.match_substring_regex(pc.drop_null(values), NUMBER)).as_py())
            self.kinds = {"number"} if self.may_be_number else {"text"}

    def add_missing(self, count: int) -> None:
        """Counts rows in which the column does not occur."""
        if count:
            self.lengths.update(np.full(count, -1, dtype="<i8").tobytes())
            self.missing += count

    def column(self, name: str) -> Column:
        """The count as a record."""
        kinds = self.kinds - {"empty"}
        kind: ColumnKind = "empty" if not kinds else kinds.pop() if len(kinds) == 1 else "text"
        assert kind in get_args(ColumnKind)
        return Column(name, kind, self.missing, self.empty, tuple(self.examples))


def text_bytes(values: pa.StringArray) -> memoryview:
    """The UTF-8 bytes of all values one after the other."""
    if len(values) == 0:
        return memoryview(b"")
    _, offsets, data = values.buffers()
    if data is None:
        return memoryview(b"")
    bounds = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])]


@dataclass(frozen=True)
class TableFacts:
    """What was read: columns in the order of the file, number of rows, sha256 of all values."""

    columns: tuple[Column, ...]
    row_count: int
    rows_sha256: str


class TableWriter:
    """Takes blocks of text columns; a column that turns up late is missing in the rows before.

    Rows wait until a row group is full, then a thread compresses and writes it while the next rows are read; memory
    stays bounded by one block and GROUPS_AHEAD + 1 groups of GROUP_BYTES. A Parquet file cannot grow columns, so a new
    column starts a new part; `close` joins the parts. `close` or `discard` must be called: both end the thread.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.row_count = 0
        self._counts: dict[str, ColumnCount] = {}
        self._in_part: dict[str, None] = {}
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="table-writer")
        self._writing: deque[Future[None]] = deque()

    @property
    def names(self) -> tuple[str, ...]:
        """Columns seen so far, in the order in which they turned up."""
        return tuple(self._counts)

    @property
    def names_in_part(self) -> tuple[str, ...]:
        """Columns seen since `begin_part`."""
        return tuple(self._in_part)

    def begin_part(self) -> None:
        """From here on the rows come from another file."""
        self._in_part = {}

    @property
    def plain_text(self) -> bool:
        """Whether all values so far are text or missing."""
        return all(count.kinds <= {"text"} for count in self._counts.values())

    def write(self, block: pa.Table, kinds: dict[str, set[ColumnKind]] | None = None) -> None:
        """Adds rows; all columns are text. `kinds` says per column what the values were in the file."""
        new = [name for name in block.column_names if name not in self._counts]
        self._in_part.update(dict.fromkeys(block.column_names))
        if new and self._waiting:
            self._flush()
        if new and self._writer is not None:
            self._end_part()
        for name in new:
            self._counts[name] = ColumnCount()
            self._counts[name].add_missing(self.row_count)
        missing = pa.nulls(block.num_rows, pa.string())
        columns = []
        for name, count in self._counts.items():
            if name in block.column_names:
                column = block.column(name).combine_chunks()
                for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                    count.add(chunk, None if kinds is None else kinds.get(name, set()))
                columns.append(column)
            else:
                count.add_missing(block.num_rows)
                columns.append(missing)
        self._waiting.append(pa.table(dict(zip(self._counts, columns, strict=True))))
        self._waiting_rows += block.num_rows
        self._waiting_bytes += block.nbytes
        self.row_count += block.num_rows
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._writer is None:
            part = self.target.with_name(f"{self.target.name}.part{len(self._parts)}")
            self._parts.append(part)
            self._writer = pq.ParquetWriter(part, table.schema, compression=COMPRESSION)
        if len(self._writing) >= GROUPS_AHEAD:
            self._writing.popleft().result()
        self._writing.append(self._thread.submit(self._writer.write_table, table, row_group_size=GROUP_ROWS))

    def _end_part(self) -> None:
        while self._writing:
            self._writing.popleft().result()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def close(self) -> TableFacts:
        """Writes what waits and puts the file in its place."""
        self._flush()
        self._end_part()
        self._thread.shutdown()
        if len(self._parts) == 1:
            self._parts[0].replace(self.target)
        elif self._parts:
            self._join()
        return TableFacts(
            tuple(count.column(name) for name, count in self._counts.items()), self.row_count, self._digest()
        )

    def _join(self) -> None:
        schema = pa.schema([(name, pa.string()) for name in self._counts])
        with pq.ParquetWriter(self.target, schema, compression=COMPRESSION) as writer:
            for part in self._parts:
                with pq.ParquetFile(part) as file:
                    for index in range(file.metadata.num_row_groups):
                        group = file.read_row_group(index)
                        for name in self._counts:
                            if name not in group.column_names:
                                group = group.append_column(name, pa.nulls(group.num_rows, pa.string()))
                        writer.write_table(group.select(list(self._counts)))
                part.unlink()

    def _digest(self) -> str:
        total = hashlib.sha256(str(self.row_count).encode())
        for name, count in self._counts.items():
            for piece in (name.encode("utf-8", "surrogatepass"), count.lengths.digest(), count.text.digest()):
                total.update(hashlib.sha256(piece).digest())
        return total.hexdigest()

    def discard(self) -> None:
        """Ends without a file."""
        self._waiting = []
        self._thread.shutdown(cancel_futures=True)
        self._writing.clear()
        # What made the reading fail, say a full disk, also keeps the footer from being written; the file goes anyway.
        with suppress(OSError, pa.ArrowException):
            self._end_part()
        for part in (*self._parts, self.target):
            part.unlink(missing_ok=True)
