"""Parquet: every column becomes text; numbers as Arrow spells them, lists and structures as JSON."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_studio.data.reading.delimited import refuse_doubles
from llm_studio.data.reading.formats import is_trouble
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import RAW_CHARACTERS, RejectedRow, Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.types import ColumnKind
from llm_studio.errors import UserError

BATCH_ROWS = 1024
BYTES = (
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
"""Types whose values are bytes that ought to be UTF-8."""
Unfit = dict[int, tuple[str, bytes, str]]
"""Place in the block of a row that does not fit, with its column, value and reason."""
MAGIC = b"PAR1"


def read(path: Path, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """Writes all rows as text; returns notes. Rows with text that is not UTF-8 are left out.

    Raises:
        UserError: a truncated or damaged file, no rows, a column name used twice, hardly a row of valid text.
    """
    rows = 0
    try:
        with pq.ParquetFile(path) as file:
            refuse_doubles(list(file.schema_arrow.names), name)
            total, size = max(file.metadata.num_rows, 1), path.stat().st_size
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                write_batch(batch, rows, name, writer, rejects)
                rows += batch.num_rows
                progress.at(int(size * rows / total), writer.row_count)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        if is_trouble(error):
            raise
        raise damaged(path, name, rows, str(error)) from None
    rejects.end(rows - rejects.in_file)
    if rows == 0:
        raise UserError(f"{name} holds no rows.", where=name, fix="Choose a file with at least two rows.")
    return ()


def write_batch(batch: pa.RecordBatch, first_row: int, file: str, writer: TableWriter, rejects: Rejects) -> None:
    """Converts and writes one block; `first_row` rows of the file came before it."""
    columns: dict[str, pa.Array] = {}
    kinds: dict[str, set[ColumnKind]] = {}
    kind: ColumnKind
    unfit: Unfit = {}
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_nested(values.type):
            columns[column], kind = nested_text(values, column, unfit), "list"
        else:
            text, kind = as_text(values)
            columns[column] = checked_text(text, column, unfit)
        kinds[column] = {kind} if values.null_count < len(values) else set()
    table = pa.table(columns)
    for index, (column, value, reason) in sorted(unfit.items()):
        row = first_row + index + 1
        error = UserError(
            f"The value of column “{column}” in row {row:,} is not text: {reason}.",
            where=f"{file}, row {row:,}, column “{column}”",
            fix="Leave out columns with binary data, or save the text as UTF-8.",
        )
        rejected = RejectedRow(row, column, f"not text: {reason}")
        rejects.add(rejected, value[:RAW_CHARACTERS].decode("utf-8", "backslashreplace"), error)
    if unfit:
        table = table.take([index for index in range(table.num_rows) if index not in unfit])
    if table.num_rows:
        writer.write(table, kinds)


def as_text(values: pa.Array) -> tuple[pa.Array, ColumnKind]:
    """A column as text (not yet checked to be UTF-8), and what kind of values it held."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_text(values.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return as_text(pc.run_end_decode(values))
    if pa.types.is_string(kind):
        return values, "text"
    if any(is_kind(kind) for is_kind in BYTES):
        return values.cast(pa.binary()).view(pa.string()), "text"
    if pa.types.is_float16(kind):
        values = values.cast(pa.float32())
    if pa.types.is_floating(kind):
        not_nan = pc.if_else(pc.is_nan(values), None, values)
        return not_nan.cast(pa.string()), "number"
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.string()), "number"
    if pa.types.is_boolean(kind):
        return values.cast(pa.string()), "boolean"
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string()), "empty"
    return values.cast(pa.string()), "text"


def nested_text(values: pa.Array, column: str, unfit: Unfit) -> pa.Array:
    """Lists and structures as JSON; rows that hold bytes that are no text, or a key twice, join `unfit`."""
    found: list[object] = []
    try:
        found = values.to_pylist(maps_as_pydicts="strict")
    except (UnicodeDecodeError, KeyError):
        for index, value in enumerate(values):
            try:
                found.append(value.as_py(maps_as_pydicts="strict"))
            except UnicodeDecodeError as error:
                found.append(None)
                unfit.setdefault(index, (column, error.object, error.reason))
            except KeyError:
                found.append(None)
                unfit.setdefault(index, (column, str(value).encode(), "a map holds a key twice"))
    return pa.array([None if value is None else to_json(value) for value in found], pa.string())


def checked_text(values: pa.Array, column: str, unfit: Unfit) -> pa.Array:
    """The text, with empty text where it is not UTF-8 (the files do not promise that); such rows join `unfit`."""
    try:
        values.validate(full=True)
        return values
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for index, value in enumerate(values.view(pa.binary()).to_pylist()):
            try:
                texts.append(None if value is None else value.decode("utf-8"))
            except UnicodeDecodeError as error:
                texts.append("")
                unfit.setdefault(index, (column, value, error.reason))
        return pa.array(texts, pa.string())


def to_json(value: object) -> str:
    """JSON of a list or structure; members that the file fills in for every row (null) are dropped from objects."""
    return json.dumps(without_nulls(value), ensure_ascii=False, default=spelled)


def without_nulls(value: object) -> object:
    """Arrow gives every object the members of all others; those that are null were not there."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member) for member in value]
    return value


def spelled(value: object) -> str:
    """Values that JSON has no word for."""
    if isinstance(value, datetime | date | Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


def damaged(path: Path, name: str, rows: int, said: str) -> UserError:
    """The error for a file that pyarrow cannot read."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(path.stat().st_size - 4, 0))
        tail = file.read(4)
    if head == MAGIC and tail != MAGIC:
        return UserError(
            f"{name} is cut off: a Parquet file ends with PAR1, this one does not.",
            where=f"{name}, byte {path.stat().st_size:,} (the end)",
            fix="The download or the copy was not complete. Get the file again.",
        )
    after = f" after row {rows:,}" if rows else ""
    return UserError(
        f"{name} is a damaged Parquet file{after}: {said.splitlines()[0]}.",
        where=f"{name}{', row ' + format(rows + 1, ',') + ' or later' if rows else ''}",
        fix="Get the file again, or write it anew with the program that made it.",
    )
