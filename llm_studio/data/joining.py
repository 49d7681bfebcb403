"""Several files of one source into one table: the rows one after the other, columns by their names."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from llm_studio.data.connectors import SourceFile
from llm_studio.data.reading import Reading, read_file, rejected_path
from llm_studio.data.reading.progress import Report
from llm_studio.data.reading.rejects import EXAMPLES
from llm_studio.data.reading.sink import TableFacts, TableWriter
from llm_studio.data.types import Column, ColumnKind


def read_files(files: Sequence[SourceFile], target: Path, report: Report) -> Reading:
    """Reads one file or several into the Parquet file `target`.

    Raises:
        UserError, Cancelled: as `read_file`; nothing is left.
    """
    if len(files) == 1:
        return read_file(files[0].path, files[0].name, target, report)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="parts-") as scratch:
        parts = []
        for index, file in enumerate(files):
            part = Path(scratch) / f"{index}.parquet"
            reading = read_file(file.path, file.name, part, part_of(report, index, len(files), file.name))
            parts.append((part, reading))
        facts = join(parts, target, report)
        join_rejected([rejected_path(part) for part, _ in parts], rejected_path(target))
    readings = [reading for _, reading in parts]
    return Reading(
        file=f"{files[0].name} and {len(files) - 1} more",
        format=readings[0].format,
        size_bytes=sum(reading.size_bytes for reading in readings),
        columns=facts.columns,
        row_count=facts.row_count,
        rows_sha256=facts.rows_sha256,
        rejected=sum(reading.rejected for reading in readings),
        rejected_examples=tuple(one for reading in readings for one in reading.rejected_examples)[:EXAMPLES],
        notes=(*missing_columns(readings), *dict.fromkeys(note for reading in readings for note in reading.notes)),
    )


def join_rejected(parts: Sequence[Path], target: Path) -> None:
    """The rows that did not fit, of all files; each says which file it is from."""
    found = [path for path in parts if path.is_file()]
    if found:
        with target.open("wb") as file:
            for path in found:
                file.write(path.read_bytes())


def part_of(report: Report, index: int, count: int, name: str) -> Report:
    """A report whose share is that of all files."""

    def say(share: float | None, words: str) -> None:
        report((index + (share or 0.0)) / count, f"File {index + 1} of {count}, {name}: {words}")

    return say


def join(parts: Sequence[tuple[Path, Reading]], target: Path, report: Report) -> TableFacts:
    """Writes the rows of all parts into one table."""
    writer = TableWriter(target)
    try:
        for index, (path, reading) in enumerate(parts, start=1):
            report(None, f"Joining file {index} of {len(parts)}")
            kinds = {column.name: kinds_of(column) for column in reading.columns}
            with pq.ParquetFile(path) as file:
                for group in range(file.metadata.num_row_groups):
                    writer.write(file.read_row_group(group), kinds)
                    report(None, f"Joining file {index} of {len(parts)}")
        return writer.close()
    except BaseException:
        writer.discard()
        raise


def kinds_of(column: Column) -> set[ColumnKind]:
    """What the values of a column were in its file."""
    return set() if column.kind == "empty" else {column.kind}


def missing_columns(readings: Sequence[Reading]) -> tuple[str, ...]:
    """Says which columns some of the files lack."""
    names = list(dict.fromkeys(column.name for reading in readings for column in reading.columns))
    notes = []
    for name in names:
        lacking = [reading.file for reading in readings if all(column.name != name for column in reading.columns)]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(f"The column “{name}” is missing in {lacking[0]}{more}; its values there are empty.")
    return tuple(notes)
