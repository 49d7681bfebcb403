"""Any file that holds a table into one Parquet file of text columns; nothing is left on failure."""

import errno
import json
import tempfile
from pathlib import Path, PurePosixPath

from llm_studio.data.reading import arrow_files, delimited, excel, json_array, json_rows, parquet_rows, plain_text
from llm_studio.data.reading.archives import Member, listed, unpack
from llm_studio.data.reading.delimiters import table_delimiter
from llm_studio.data.reading.encoding import TextFile, as_utf8
from llm_studio.data.reading.formats import ARCHIVES, EXTENSIONS, LIST_OF_FORMATS, check_file
from llm_studio.data.reading.progress import Progress, Report
from llm_studio.data.reading.record import Reading
from llm_studio.data.reading.rejects import Rejects, rejected_path
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

__all__ = ["EXTENSIONS", "LIST_OF_FORMATS", "Reading", "check_file", "read_file", "rejected_path"]

MEMBER_NOTES = 10


def read_file(path: Path, name: str, target: Path, report: Report, sheet: str = "") -> Reading:
    """Reads `path`, called `name` before the user, into the Parquet file `target`.

    The data files of an archive are read one after the other as one table. `sheet` names a sheet of a workbook; the
    first one with rows is read without it. Rows that do not fit are left out, counted and written beside the table
    (`rejected_path`).

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
            notes: tuple[str, ...] = ()
            members = [Member(path, name)]
            if kind in ARCHIVES:
                members, notes = unpack(path, name, kind, Path(scratch), progress)
                progress.unpacked(sum(member.path.stat().st_size for member in members))
            kinds, more = read_members(members, sheet, Path(scratch), writer, rejects, progress)
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
        f"{kinds} in {kind}" if kind in ARCHIVES else kinds,
        size,
        facts.columns,
        facts.row_count,
        facts.rows_sha256,
        (*more, *notes),
        rejects.count,
        tuple(rejects.examples),
    )


def read_members(
    members: list[Member], sheet: str, scratch: Path, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Reads files of the same columns one after the other; returns their formats and notes."""
    kinds: dict[str, None] = {}
    said: dict[str, list[str]] = {}
    done = 0
    for member in members:
        progress.next_file(done)
        done += member.path.stat().st_size
        known = writer.names
        kind, notes = read_one(member.path, member.name, sheet, scratch, writer, rejects, progress)
        check_same_columns(known, writer, members[0].name, member.name)
        kinds[kind] = None
        for note in notes:
            said.setdefault(note, []).append(member.name)
        if len(members) > 1:
            member.path.unlink()
    told = [note if len(names) == len(members) else f"{listed(names)}: {note}" for note, names in said.items()]
    if len(told) > MEMBER_NOTES:
        told = [*told[:MEMBER_NOTES], f"{len(told) - MEMBER_NOTES:,} more notes of this kind on single files."]
    if len(members) > 1:
        names = [PurePosixPath(member.name).name for member in members]
        told.insert(0, f"{len(members):,} files were read one after the other as one table: {listed(names)}.")
    return ", ".join(kinds), tuple(told)


def check_same_columns(known: tuple[str, ...], writer: TableWriter, first: str, name: str) -> None:
    """The files of an archive are one table only if they have the same columns.

    Raises:
        UserError: this file lacks a column of those before it, or brings a new one.
    """
    here = writer.names_in_part
    writer.begin_part()
    if not known or set(here) == set(known):
        return
    new = [column for column in here if column not in known]
    lacking = [column for column in known if column not in here]
    raise UserError(
        f"{name} has other columns than {first}: "
        + "; ".join(
            f"{word} {', '.join(f'“{column}”' for column in columns[:5])}"
            for word, columns in (("it has also", new), ("it lacks", lacking))
            if columns
        )
        + ".",
        where=name,
        fix="Pack only files with the same columns, or import one of the files by itself.",
    )


def read_one(
    path: Path, name: str, sheet: str, scratch: Path, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Reads one file that is no archive; returns its format and notes."""
    kind = check_file(path, name)
    rejects.begin(name)
    if kind in ARCHIVES:
        raise UserError(
            f"{name} is another archive ({kind}) inside the archive.",
            where=name,
            fix="Unpack the outer archive and import what it holds.",
        )
    if sheet and kind != "Excel":
        raise UserError(f"{name} has no sheets: it is {kind or 'text'}.", where=name, fix="Leave the sheet empty.")
    if kind == "Parquet":
        notes = parquet_rows.read(path, name, writer, rejects, progress)
    elif kind == "Arrow":
        notes = arrow_files.read(path, name, writer, rejects, progress)
    elif kind == "Excel":
        notes = excel.read(path, name, sheet, writer, rejects, progress)
    else:
        text = as_utf8(path, name, scratch / "text", progress)
        kind, notes = read_text(kind, text, name, writer, rejects, progress)
        notes = (*text.notes, *notes)
    suffix = Path(name).suffix.lower()
    if EXTENSIONS.get(suffix) != kind:
        notes = (f"By its content the file is {kind}, so it was read as {kind}.", *notes)
    return kind, notes


def read_text(
    kind: str, text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Reads CSV, TSV, JSON, JSON Lines or plain text; what begins like JSON is JSON, whatever the ending says."""
    first_line, has_more = first_text(text)
    if not first_line:
        raise UserError(
            f"{name} is empty: it holds only white space.", where=name, fix="Choose a file that holds rows."
        )
    if kind in ("CSV", "TSV"):
        if looks_like_json_object(first_line):
            kind = "JSON Lines"
    elif kind in ("", "plain text"):
        kind = kind_of_text(first_line, has_more, text, name)
    elif first_line.startswith("["):
        kind = "JSON" if kind == "JSON" or not is_json(first_line) or not has_more else kind
    elif first_line.startswith("{") and kind == "JSON" and has_more and is_json(first_line):
        kind = "JSON Lines"
    elif first_line.startswith("{") and kind == "JSON Lines" and not is_json(first_line) and first_line == "{":
        kind = "JSON"
    readers = {"JSON": json_array.read, "JSON Lines": json_rows.read_lines, "plain text": plain_text.read}
    return kind, readers.get(kind, delimited.read)(text, name, writer, rejects, progress)


def kind_of_text(first_line: str, has_more: bool, text: TextFile, name: str) -> str:
    """What a text is whose name does not say it: JSON or a table where that is beyond doubt, else prose."""
    if looks_like_json_object(first_line):
        return "JSON Lines" if has_more else "JSON"
    if first_line in ("[", "{") or first_line.startswith(("[{", '{"')):
        return "JSON"
    # The bars of a table in Markdown are no delimiters.
    delimiter = "" if name.lower().endswith(".md") else table_delimiter(text)
    return "TSV" if delimiter == "\t" else "CSV" if delimiter else "plain text"


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
