"""Rows of a large table by search and by order: what a click needs at once, and the work of the jobs behind it.

A search shows its first hits as soon as they are found; a job goes on and writes the numbers of all hits to a file that
only grows. An order is sorted once by a job and kept. Both are files under the home's cache, made again when missing.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from llm_studio.data.dataset import Table, open_dataset
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Home, JobRecord, Store

Rows = npt.NDArray[np.int64]
FIRST_LOOK_SECONDS = 0.1
SEARCHES_KEPT = 20
SORTED_CHARACTERS = 64
"""Text is sorted by its first characters, without regard to upper and lower case."""


@dataclass(frozen=True, eq=False)
class Hits:
    """Rows that hold a text, ascending; `scanned` of all rows were looked at so far."""

    rows: Rows
    scanned: int
    done: bool


def browse_folder(home: Home, dataset_id: str) -> Path:
    """Where searches and orders of a data set are kept."""
    return home.cache / "browse" / dataset_id


def key_of(*parts: str) -> str:
    """A file name for what the user typed."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


# ---- search ----------------------------------------------------------------------------------------------------------


def matches(batch: pa.RecordBatch, text: str) -> Rows:
    """Rows of a block that hold the text in any column, without regard to upper and lower case."""
    hit = None
    for column in batch.columns:
        here = pc.fill_null(pc.match_substring(column, text, ignore_case=True), False)
        hit = here if hit is None else pc.or_(hit, here)
    found: Rows = np.zeros(0, dtype=np.int64) if hit is None else pc.indices_nonzero(hit).to_numpy().astype(np.int64)
    return found


def first_look(table: Table, text: str, wanted: int) -> Hits:
    """As many hits as are wanted, or those of a tenth of a second: what a page shows before the job has begun."""
    until = time.monotonic() + FIRST_LOOK_SECONDS
    found: list[Rows] = []
    count = start = 0
    for batch in table.batches():
        rows = matches(batch, text) + start
        found.append(rows)
        count += len(rows)
        start += batch.num_rows
        if count >= wanted or time.monotonic() > until:
            break
    return Hits(np.concatenate(found) if found else np.zeros(0, np.int64), start, start >= table.row_count)


def hits_of(folder: Path, text: str) -> Rows | None:
    """What the job has found so far; None before it began."""
    path = folder / f"search-{key_of(text)}.rows"
    try:
        return np.fromfile(path, dtype="<i8")
    except FileNotFoundError:
        return None


def run_search(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Looks through all rows. Params of the job: "dataset_id", "text"."""
    dataset_id, text = str(job.params["dataset_id"]), str(job.params["text"])
    table = open_dataset(home.dataset(dataset_id)).table
    folder = browse_folder(home, dataset_id)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"search-{key_of(text)}.rows"
    for old in sorted(folder.glob("search-*.rows"), key=lambda one: one.stat().st_mtime)[:-SEARCHES_KEPT]:
        old.unlink(missing_ok=True)
    start = count = 0
    try:
        with path.open("wb") as file:
            for batch in table.batches():
                rows = matches(batch, text) + start
                file.write(rows.astype("<i8").tobytes())
                file.flush()
                count += len(rows)
                start += batch.num_rows
                report(start / max(table.row_count, 1), f"{count:,} found in {start:,} of {table.row_count:,} rows")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return {"count": count}


# ---- order -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Order:
    """All rows in the order of a column; missing values come last either way."""

    ascending: Rows
    missing: int

    def rows(self, *, descending: bool) -> Rows:
        """[rows] row numbers."""
        if not descending:
            return self.ascending
        held = len(self.ascending) - self.missing
        return np.concatenate([self.ascending[:held][::-1], self.ascending[held:]])

    def page(self, offset: int, limit: int, *, descending: bool) -> Rows:
        """Some of them, reading only these."""
        held = len(self.ascending) - self.missing
        if not descending:
            return np.asarray(self.ascending[offset : offset + limit])
        places = np.arange(offset, min(offset + limit, len(self.ascending)))
        return np.asarray(self.ascending[np.where(places < held, held - 1 - places, places)])


def order_of(folder: Path, column: str) -> Order | None:
    """The order by a column, memory-mapped; None before it was sorted."""
    found = next(folder.glob(f"order-{key_of(column)}-*.npy"), None)
    if found is None:
        return None
    return Order(np.load(found, mmap_mode="r"), int(found.stem.rsplit("-", 1)[1]))


def sort_rows(table: Table, column: str, tell: Callable[[float], None]) -> Order:
    """Sorts all rows by a column: as numbers where every value is one, else by the beginning of the text.

    Raises:
        UserError: there is no such column.
    """
    if column not in table.columns:
        raise UserError(f"The table has no column “{column}”.", where="order", fix="Choose another column.")
    pieces = []
    start = 0
    for batch in table.batches([column]):
        pieces.append(pc.utf8_slice_codeunits(batch.column(0), 0, SORTED_CHARACTERS))
        start += batch.num_rows
        tell(0.6 * start / max(table.row_count, 1))
    values = pa.chunked_array(pieces, pa.string()).combine_chunks() if pieces else pa.array([], pa.string())
    try:
        keys = pc.cast(pc.utf8_trim_whitespace(values), pa.float64())
    except pa.ArrowInvalid:
        keys = pc.utf8_lower(values)
    tell(0.7)
    order = pc.sort_indices(pa.table({"key": keys}), sort_keys=[("key", "ascending", "at_end")])
    return Order(order.to_numpy().astype(np.int64), values.null_count)


def save_order(folder: Path, column: str, order: Order) -> None:
    """Keeps an order for `order_of`; written in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"new-{secrets.token_hex(4)}.npy"
    np.save(fresh, order.ascending)
    fresh.replace(folder / f"order-{key_of(column)}-{order.missing}.npy")


def run_order(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Sorts the rows of a data set. Params of the job: "dataset_id", "column"."""
    dataset_id, column = str(job.params["dataset_id"]), str(job.params["column"])
    table = open_dataset(home.dataset(dataset_id)).table
    order = sort_rows(table, column, lambda share: report(share, f"Sorting {table.row_count:,} rows by {column}"))
    save_order(browse_folder(home, dataset_id), column, order)
    return {"rows": len(order.ascending)}
