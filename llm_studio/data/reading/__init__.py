"""Any file that holds a table into one Parquet file of text columns; nothing is left on failure."""

import errno
import json
import tempfile
from pathlib import Path

from llm_studio.data.reading import delimited, json_array, json_rows, parquet_rows
from llm_studio.data.reading.encoding import TextFile, as_utf8
from llm_studio.data.reading.progress import Progress, Report
from llm_studio.data.reading.record import Reading
from llm_studio.data.reading.rejects import Rejects, rejected_path
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

__all__ = ["EXTENSIONS", "Reading", "check_file", "read_file", "rejected_path"]

EXTENSIONS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
    ".pq": "Parquet",
}
MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\x1f\x8b": "gzip-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
}
LIST_OF_FORMATS = "CSV, TSV, JSON, JSON Lines (.jsonl) or Parquet"


def check_file(path: Path, name: str) -> str:
    """The format by the file's name; looks at the file as far as that is free.

    Raises:
        UserError: no such file, a folder, an empty file, an extension or a content that is not read.
    """
    if path.is_dir():
        raise UserError(f"{name} is a folder, not a file.", where=name, fix=f"Choose one file: {LIST_OF_FORMATS}.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise UserError(f"There is no file {name}.", where=name, fix="Check the path for typing errors.") from None
    except OSError as error:
        raise UserError(
            f"{name} cannot be opened: {error.strerror}.", where=name, fix="Check its permissions."
        ) from None
    suffix = Path(name).suffix.lower()
    if suffix not in EXTENSIONS:
        ending = f"ends in {suffix}" if suffix else "has no ending"
        raise UserError(f"{name} {ending}; such files are not read.", where=name, fix=f"Save it as {LIST_OF_FORMATS}.")
    if not head:
        raise UserError(f"{name} is empty (0 bytes).", where=name, fix="Choose a file that holds rows.")
    if head.startswith(parquet_rows.MAGIC):
        return "Parquet"
    for magic, what in MAGIC.items():
        if head.startswith(magic):
            raise UserError(
                f"{name} is {what}, although its name ends in {suffix}.",
                where=name,
                fix=f"Unpack or open it with its own program and save the table as {LIST_OF_FORMATS}.",
            )
    if EXTENSIONS[suffix] == "Parquet":
        raise UserError(
            f"{name} is not a Parquet file: it does not begin with PAR1.",
            where=f"{name}, byte 0",
            fix="Give the file the ending of its real format (.csv, .json, .jsonl), or get it again.",
        )
    return EXTENSIONS[suffix]


def read_file(path: Path, name: str, target: Path, report: Report) -> Reading:
    """Reads `path`, called `name` before the user, into the Parquet file `target`.

    Rows that do not fit are left out, counted and written beside it (`rejected_path`).

    Raises:
        UserError: what is wrong, in which file, row and column, and how to mend it.
        Cancelled: from `report`.
    """
    kind = check_file(path, name)
    size = path.stat().st_size
    progress = Progress(size, report)
    writer, rejects = TableWriter(target), Rejects(rejected_path(target))
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="reading-") as scratch:
            kind, notes = read_one(path, name, kind, Path(scratch), writer, rejects, progress)
            facts = writer.close()
            rejects.close()
    except BaseException as error:
        writer.discard()
        rejects.discard()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError("The disk is full.", where=str(target.parent), fix="Free some space.") from None
        raise
    return Reading(
        name,
        kind,
        size,
        facts.columns,
        facts.row_count,
        facts.rows_sha256,
        notes,
        rejects.count,
        tuple(rejects.examples),
    )


def read_one(
    path: Path, name: str, kind: str, scratch: Path, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Reads one file that is no archive; returns its format and notes."""
    rejects.begin(name)
    if kind == "Parquet":
        notes = parquet_rows.read(path, name, writer, rejects, progress)
    else:
        text = as_utf8(path, name, scratch / "text", progress)
        kind, notes = read_text(kind, text, name, writer, rejects, progress)
        notes = (*text.notes, *notes)
    if EXTENSIONS[Path(name).suffix.lower()] != kind:
        notes = (f"By its content the file is {kind}, so it was read as {kind}.", *notes)
    return kind, notes


def read_text(
    kind: str, text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Reads CSV, TSV, JSON or JSON Lines; what begins like JSON is JSON, whatever the ending says."""
    first_line, has_more = first_text(text)
    if not first_line:
        raise UserError(
            f"{name} is empty: it holds only white space.", where=name, fix="Choose a file that holds rows."
        )
    if kind in ("CSV", "TSV"):
        if looks_like_json_object(first_line):
            kind = "JSON Lines"
    elif first_line.startswith("["):
        kind = "JSON" if kind == "JSON" or not is_json(first_line) or not has_more else kind
    elif first_line.startswith("{") and kind == "JSON" and has_more and is_json(first_line):
        kind = "JSON Lines"
    elif first_line.startswith("{") and kind == "JSON Lines" and not is_json(first_line) and first_line == "{":
        kind = "JSON"
    readers = {"JSON": json_array.read, "JSON Lines": json_rows.read_lines}
    return kind, readers.get(kind, delimited.read)(text, name, writer, rejects, progress)


def first_text(text: TextFile) -> tuple[str, bool]:
    """The first line that is not blank (at most 8 MB of it), and whether more than white space follows."""
    with text.path.open("rb") as file:
        file.seek(text.start)
        while raw := file.readline(8 * 2**20):
            if line := raw.strip():
                while following := file.read(2**16):
                    if following.strip():
                        return line.decode("utf-8", errors="ignore"), True
                return line.decode("utf-8", errors="ignore"), False
    return "", False


def is_json(line: str) -> bool:
    """Whether a line is one complete JSON value."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def looks_like_json_object(line: str) -> bool:
    """Whether a line of a CSV file is in truth an object of JSON Lines."""
    return line.startswith("{") and is_json(line)
