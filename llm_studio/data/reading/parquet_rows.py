"""Parquet: every column becomes text; numbers as Arrow spells them, lists and structures as JSON."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_studio.data.reading.delimited import refuse_doubles
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.types import ColumnKind
from llm_studio.errors import UserError

BATCH_ROWS = 1024
MAGIC = b"PAR1"


def read(path: Path, name: str, writer: TableWriter, progress: Progress) -> tuple[str, ...]:
    """Writes all rows as text; returns notes.

    Raises:
        UserError: a truncated or damaged file, no rows, a column name used twice, binary data, text that is not UTF-8.
    """
    try:
        with pq.ParquetFile(path) as file:
            refuse_doubles(list(file.schema_arrow.names), name)
            total = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                write_batch(batch, name, writer)
                progress.at(int(progress.total_bytes * writer.row_count / total), writer.row_count)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, name, writer.row_count, str(error)) from None
    if writer.row_count == 0:
        raise UserError(f"{name} holds no rows.", where=name, fix="Choose a file with at least two rows.")
    return ()


def write_batch(batch: pa.RecordBatch, name: str, writer: TableWriter) -> None:
    """Converts and writes one block."""
    columns: dict[str, pa.Array] = {}
    kinds: dict[str, set[ColumnKind]] = {}
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        columns[column], kind = as_text(values, column, name, writer.row_count)
        kinds[column] = {kind} if values.null_count < len(values) else set()
    writer.write(pa.table(columns), kinds)


def as_text(values: pa.Array, column: str, file: str, first_row: int) -> tuple[pa.Array, ColumnKind]:
    """A column as text, and what kind of values it held."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_text(values.cast(kind.value_type), column, file, first_row)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return checked_text(values, column, file, first_row), "text"
    if pa.types.is_floating(kind):
        not_nan = pc.if_else(pc.is_nan(values), None, values)
        return not_nan.cast(pa.string()), "number"
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.string()), "number"
    if pa.types.is_boolean(kind):
        return values.cast(pa.string()), "boolean"
    if pa.types.is_nested(kind):
        texts = [
            None if value is None else to_json(value, kind) for value in values.to_pylist(maps_as_pydicts="strict")
        ]
        return pa.array(texts, pa.string()), "list"
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string()), "empty"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return checked_text(values, column, file, first_row), "text"
    return values.cast(pa.string()), "text"


def checked_text(values: pa.Array, column: str, file: str, first_row: int) -> pa.Array:
    """The text, if it is UTF-8: Parquet does not promise that."""
    try:
        text = values.cast(pa.binary()).cast(pa.string()) if not pa.types.is_string(values.type) else values
        text.validate(full=True)
    except pa.ArrowInvalid:
        for index, value in enumerate(values.cast(pa.binary())):
            try:
                (value.as_py() or b"").decode("utf-8")
            except UnicodeDecodeError as error:
                row = first_row + index + 1
                raise UserError(
                    f"The value of column “{column}” in row {row:,} is not text: {error.reason}.",
                    where=f"{file}, row {row:,}, column “{column}”",
                    fix="Leave out columns with binary data, or save the text as UTF-8.",
                ) from None
        raise
    return text


def to_json(value: object, kind: pa.DataType) -> str:
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
