"""An imported data set on disk: rows by page, conversations by part, settings and split."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_studio.config import DatasetSettings
from llm_studio.data.conversations import conversations_of
from llm_studio.data.fixes.recipe import Recipe
from llm_studio.data.splitting.stored_split import OWN_ROWS, ROWS, Part, Split, load_split
from llm_studio.data.types import Cells, Column, Conversation
from llm_studio.errors import UserError

VALIDATION = OWN_ROWS
SETTINGS = "settings.json"
STATISTICS = "statistics.json"
READING = "reading.json"
BATCH_ROWS = 8192
FEWEST_BATCH_ROWS = 64
BLOCK_BYTES = 4 * 2**20
__all__ = ["ROWS", "Dataset", "Part", "Split", "Table", "conversations_of", "open_dataset"]


def batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows that make up about BLOCK_BYTES, so that a block of long rows does not fill the memory."""
    groups = range(metadata.num_row_groups)
    total = sum(metadata.row_group(group).total_byte_size for group in groups)
    per_row = total / max(metadata.num_rows, 1)
    return int(min(BATCH_ROWS, max(FEWEST_BATCH_ROWS, BLOCK_BYTES / max(per_row, 1.0))))


class Table:
    """A Parquet file of text columns, read by page and never as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, memory_map=True)

    @cached_property
    def row_count(self) -> int:
        """Number of rows."""
        with self._open() as file:
            return int(file.metadata.num_rows)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in the order of the file."""
        with self._open() as file:
            return tuple(file.schema_arrow.names)

    @cached_property
    def _starts(self) -> list[int]:
        """First row of every row group, and the number of rows at the end."""
        with self._open() as file:
            starts = [0]
            for index in range(file.metadata.num_row_groups):
                starts.append(starts[-1] + file.metadata.row_group(index).num_rows)
            return starts

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in blocks of about BLOCK_BYTES, at most BATCH_ROWS rows each."""
        with self._open() as file:
            size = batch_rows(file.metadata)
            yield from file.iter_batches(batch_size=size, columns=None if columns is None else list(columns))

    def take(self, rows: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[tuple[int, Cells]]:
        """The rows asked for, in ascending order, reading only the row groups that hold them."""
        wanted = np.sort(np.fromiter(rows, dtype=np.int64)).tolist()
        position = 0
        with self._open() as file:
            for group, (start, end) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
                here = []
                while position < len(wanted) and wanted[position] < end:
                    here.append(wanted[position] - start)
                    position += 1
                if here:
                    block = file.read_row_group(group, columns=None if columns is None else list(columns))
                    for index, cells in zip(here, block.take(pa.array(here)).to_pylist(), strict=True):
                        yield start + index, cells

    def search(self, text: str) -> list[int]:
        """Rows that hold the text in any column, without regard to upper and lower case."""
        found: list[int] = []
        start = 0
        for batch in self.batches():
            hit = None
            for column in batch.columns:
                here = pc.fill_null(pc.match_substring(column, text, ignore_case=True), False)
                hit = here if hit is None else pc.or_(hit, here)
            if hit is not None:
                found += [start + index for index in pc.indices_nonzero(hit).to_pylist()]
            start += batch.num_rows
        return found


class EditedTable(Table):
    """The same rows with the text steps of a recipe applied as they are read; the file itself never changes."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        super().__init__(path)
        self._edit = recipe.edit

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, edited, in blocks."""
        for batch in super().batches(columns):
            rows = [dict(self._edit(cells)) for cells in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=batch.schema)

    def take(self, rows: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[tuple[int, Cells]]:
        """Some rows, edited."""
        for row, cells in super().take(rows, columns):
            yield row, self._edit(cells)


def edited(path: Path, recipe: Recipe) -> Table:
    """The table with the recipe's edits, or as it is when there are none."""
    return EditedTable(path, recipe) if recipe.edits else Table(path)


class Dataset:
    """One imported data set; made by `open_dataset`."""

    def __init__(self, folder: Path, settings: DatasetSettings, split: Split, *, leave_out: bool = False) -> None:
        self.leave_out = leave_out
        """Whether the user agreed to leave out rows that cannot be used."""
        self.folder = folder
        self.settings = settings
        self.split = split
        self.table = Table(folder / ROWS)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in the order of the file."""
        return self.table.columns

    @property
    def row_count(self) -> int:
        """All rows of the file, also those that are left out."""
        return self.table.row_count

    @property
    def fingerprint(self) -> str:
        """sha256 of rows and settings: two experiments with the same one learned from and were scored on the same."""
        return self.split.fingerprint

    def column_facts(self) -> tuple[Column, ...]:
        """Kind, missing and empty values of every column, as counted while the file was read."""
        facts = json.loads((self.folder / READING).read_text(encoding="utf-8"))
        return tuple(Column(**{**fact, "examples": tuple(fact["examples"])}) for fact in facts["columns"])

    @cached_property
    def recipe(self) -> Recipe:
        """The fixes that were made since the import."""
        return Recipe.load(self.folder)

    def table_of(self, part: Part) -> Table:
        """The table that holds a part, with the recipe's edits; `table` has the rows as they were imported."""
        own = part == "validation" and self.split.own_file
        return edited(self.folder / (VALIDATION if own else ROWS), self.recipe)

    def iter_conversations(self, part: Part, limit: int | None = None) -> Iterator[Conversation]:
        """The conversations of a part in the order of the file, one block in memory at a time."""
        yield from self.read_rows(part, self.split.rows(part)[:limit])

    def read_rows(self, part: Part, rows: Iterable[int]) -> Iterator[Conversation]:
        """The conversations of some rows of a part, in the order of the file."""
        yield from conversations_of(self.table_of(part), rows, self.settings)

    def conversations(self, part: Part, limit: int | None = None) -> list[Conversation]:
        """`iter_conversations` as a list."""
        return list(self.iter_conversations(part, limit))

    def rows(self, offset: int, limit: int, search: str | None = None) -> list[dict[str, str | None]]:
        """A page of rows as the file held them; with `search` a page of the rows that hold this text."""
        return [dict(cells) for _, cells in self.numbered_rows(offset, limit, search)[1]]

    def numbered_rows(self, offset: int, limit: int, search: str | None = None) -> tuple[int, list[tuple[int, Cells]]]:
        """Number of rows (or hits) in all, and one page of them with their row numbers, which count from 0."""
        if search:
            found = self.table.search(search)
            return len(found), list(self.table.take(found[offset : offset + limit]))
        wanted = range(offset, min(offset + limit, self.row_count))
        return self.row_count, list(self.table.take(wanted))

    def row(self, index: int) -> dict[str, str | None]:
        """One row as the file held it.

        Raises:
            UserError: there is no such row.
        """
        if not 0 <= index < self.row_count:
            raise UserError(f"There is no row {index + 1}; the data set has {self.row_count} rows.", where="row")
        return dict(next(self.table.take([index]))[1])


def open_dataset(folder: Path) -> Dataset:
    """The data set in a folder of the studio's home.

    Raises:
        UserError: the folder holds no data set.
    """
    if not (folder / ROWS).is_file() or not (folder / SETTINGS).is_file():
        raise UserError(
            "This data set is no longer there.", where=folder.name, fix="Import it again, or choose another data set."
        )
    stored = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    return Dataset(
        folder,
        DatasetSettings.model_validate(stored["settings"]),
        load_split(folder),
        leave_out=bool(stored["leave_out"]),
    )
