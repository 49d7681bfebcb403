"""Arrow files as `datasets` and Feather save them, in the file or the stream format; read block by block."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from llm_studio.data.reading.delimited import refuse_doubles
from llm_studio.data.reading.formats import is_trouble
from llm_studio.data.reading.parquet_rows import BATCH_ROWS, write_batch
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

MAGIC = b"ARROW1"


def read(path: Path, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """Writes all rows as text; returns notes. Rows with text that is not UTF-8 are left out.

    Raises:
        UserError: a truncated or damaged file, no rows, a column name used twice, hardly a row of valid text.
    """
    rows = 0
    try:
        # Mapped, so that a block of any size takes no memory of its own.
        with pa.memory_map(str(path)) as source:
            for batch, read_bytes in batches(source, name):
                for at in range(0, batch.num_rows, BATCH_ROWS):
                    part = batch.slice(at, BATCH_ROWS)
                    write_batch(part, rows, name, writer, rejects)
                    rows += part.num_rows
                    progress.at(read_bytes, writer.row_count)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        if is_trouble(error):
            raise
        raise damaged(name, rows, str(error)) from None
    rejects.end(rows - rejects.in_file)
    if rows == 0:
        raise UserError(f"{name} holds no rows.", where=name, fix="Choose a file with at least two rows.")
    return ()


def batches(source: pa.MemoryMappedFile, name: str) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The blocks of the file, each with about how many bytes are read after it."""
    size = source.size()
    if source.read(len(MAGIC)) == MAGIC:
        source.seek(0)
        reader = pa.ipc.open_file(source)
        refuse_doubles(list(reader.schema.names), name)
        for index in range(reader.num_record_batches):
            yield checked(reader.get_batch(index)), size * (index + 1) // reader.num_record_batches
    else:
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        refuse_doubles(list(stream.schema.names), name)
        for batch in stream:
            yield checked(batch), source.tell()


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The block, if its lengths and offsets are sound: a damaged file must not make us read beyond it."""
    for values in batch.columns:
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            # Text that is no UTF-8 concerns single rows; it is found again when the columns become text.
            if "UTF8" not in str(error):
                raise
    return batch


def damaged(name: str, rows: int, said: str) -> UserError:
    """The error for a file that pyarrow cannot read."""
    after = f" after row {rows:,}" if rows else ""
    return UserError(
        f"{name} is a damaged Arrow file{after}: {said.splitlines()[0] if said else 'it ends too early'}.",
        where=f"{name}{', row ' + format(rows + 1, ',') + ' or later' if rows else ''}",
        fix="Get the file again, or write it anew with the program that made it.",
    )
