"""Excel: one sheet of a workbook, row by row; numbers as Python spells them, dates as ISO 8601, error cells as text.

openpyxl in read-only mode holds one row at a time (and the texts that a workbook shares between its cells).
python-calamine is faster, but holds a whole sheet as a grid (12 GB for two cells far apart), drops error cells and
turns whole numbers into floats.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
from openpyxl.utils.exceptions import InvalidFileException

from llm_studio.data.reading.delimited import name_columns
from llm_studio.data.reading.formats import DAMAGE, is_trouble
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import RejectedRow, Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.types import ColumnKind
from llm_studio.errors import UserError

BLOCK_ROWS = 1024
SHARED_TEXT_BYTES = 512 * 2**20
"""The texts that cells share are held in memory while the sheet is read."""
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
"""How a workbook writes characters that XML has no place for: ECMA-376, part 1, 22.9.2.19."""

NO_RESULT = (
    "{count:,} cells hold a formula whose result is not stored in the file; they are missing here. Open the file in "
    "Excel and save it, then it holds the results."
)
FORMULA = re.compile(rb"</f>\s*(?:<v>\s*</v>|<v\s*/>)?\s*</c>|<f[^>]*/>\s*(?:<v>\s*</v>|<v\s*/>)?\s*</c>")
CHUNK = 2**20
OVERLAP = 200
"""Longer than what FORMULA matches, so that a match across two chunks is seen whole."""


def read(
    path: Path, name: str, sheet: str, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, ...]:
    """Writes all rows below the first one, which names the columns; returns notes. `sheet` is empty for the first.

    Raises:
        UserError: no such sheet, no rows, a damaged workbook, a column name used twice, hardly a row that fits.
    """
    check_size(path, name)
    try:
        # openpyxl warns of decorations (validation, styles) that it leaves out; the cells are all there.
        with warnings.catch_warnings(action="ignore"):
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                chosen, rows = choose_sheet(book, name, sheet)
                notes = write_rows(rows, f"{name}, sheet “{chosen}”", writer, rejects, progress)
                if count := formulas_without_result(path, book[chosen]):
                    notes = (*notes, NO_RESULT.format(count=count))
            finally:
                book.close()
    except (*DAMAGE, InvalidFileException, OSError) as error:
        if is_trouble(error):
            raise
        raise UserError(
            f"{name} is a damaged Excel file: {error}.",
            where=name,
            fix="Open it in Excel and save it again, or save the sheet as CSV.",
        ) from None
    others = [other for other in book.sheetnames if other != chosen]
    unread = f" Not read: {', '.join(f'“{other}”' for other in others[:5])}" if others else ""
    unread += f" and {len(others) - 5} more" if len(others) > 5 else ""
    return (f"The rows are those of the sheet “{chosen}”.{unread}{'.' if unread else ''}", *notes)


def check_size(path: Path, name: str) -> None:
    """Refuses a workbook whose shared texts would fill the memory."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist() if not info.filename.startswith("xl/worksheets/"))
    if size > SHARED_TEXT_BYTES:
        raise UserError(
            f"{name} holds {size / 1e6:,.0f} MB of text when unpacked; "
            f"at most {SHARED_TEXT_BYTES / 1e6:,.0f} MB can be read.",
            where=name,
            fix="Save the sheet as CSV and import that file.",
        )


def choose_sheet(book: Any, name: str, sheet: str) -> tuple[str, Iterator[Sequence[Any]]]:
    """The sheet with this name, else the first that holds anything, and its rows of cells from the first filled one."""
    names = [one.title for one in book.worksheets]
    if sheet and sheet not in names:
        raise UserError(
            f"{name} has no sheet “{sheet}”.",
            where=name,
            fix=f"Choose one of its sheets: {', '.join(f'“{one}”' for one in names[:10])}.",
        )
    for one in book.worksheets:
        if sheet in ("", one.title):
            # What a workbook says of its own size is often wrong, and would fill up or cut its rows.
            one.reset_dimensions()
            rows = filled_rows(one)
            first = next(rows, None)
            if first is not None:
                return one.title, chain(first, rows)
    what = f"The sheet “{sheet}” of {name} is empty." if sheet else f"{name} holds no sheet with rows."
    raise UserError(what, where=name, fix="Choose a sheet that holds a table.")


def formulas_without_result(path: Path, sheet: Any) -> int:
    """Cells that programs other than Excel wrote without computing them: openpyxl gives them as empty."""
    count, rest = 0, b""
    with zipfile.ZipFile(path) as archive, archive.open(sheet._worksheet_path) as source:
        while chunk := source.read(CHUNK):
            text = rest + chunk
            end = 0
            for found in FORMULA.finditer(text):
                count += 1
                end = found.end()
            rest = text[max(end, len(text) - OVERLAP) :]
    return count


def chain(first: Sequence[Any], rest: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """The row that was looked at already, and those after it."""
    yield first
    yield from rest


def filled_rows(sheet: Any) -> Iterator[Sequence[Any]]:
    """Rows with at least one value."""
    for row in sheet.rows:
        if any(cell.value is not None for cell in row):
            yield row


def write_rows(
    rows: Iterator[Sequence[Any]], place: str, writer: TableWriter, rejects: Rejects, progress: Progress
) -> tuple[str, ...]:
    """Takes the names from the first row and writes the others in blocks."""
    header = [text_of(cell, set()) or "" for cell in next(rows)]
    while not header[-1]:
        header.pop()
    names, notes = name_columns(header, place)
    before = writer.row_count
    block: list[list[str | None]] = []
    kinds: list[set[ColumnKind]] = [set() for _ in names]
    number = 0
    for number, row in enumerate(rows, start=1):
        values = [text_of(cell, kinds[at] if at < len(kinds) else set()) for at, cell in enumerate(row)]
        while len(values) > len(names) and values[-1] is None:
            values.pop()
        if len(values) > len(names):
            reject(values, names, number, place, rejects)
            continue
        block.append(values + [None] * (len(names) - len(values)))
        if len(block) >= BLOCK_ROWS:
            write_block(block, names, kinds, writer)
            block = []
            progress.rows(writer.row_count)
    write_block(block, names, kinds, writer)
    rejects.end(writer.row_count - before)
    if number == 0:
        raise UserError(
            f"The sheet holds a header but no rows: {place}.", where=place, fix="Choose a sheet with rows of data."
        )
    return notes


def reject(values: list[str | None], names: Sequence[str], number: int, place: str, rejects: Rejects) -> None:
    """A row with a value to the right of the last named column."""
    reason = f"a value in column {len(values)}, the header has {len(names)}"
    error = UserError(
        f"Row {number:,} below the header has {reason}: {', '.join(names[:6])}.",
        where=f"{place}, row {number:,} below the header",
        fix="Give each column that holds values a name in the first row, or clear the cells beside the table.",
    )
    rejects.add(RejectedRow(number, names[-1], reason), "\t".join(value or "" for value in values), error)


def write_block(
    block: list[list[str | None]], names: Sequence[str], kinds: list[set[ColumnKind]], writer: TableWriter
) -> None:
    """Rows as a table of text columns."""
    if block:
        columns = {name: pa.array([row[at] for row in block], pa.string()) for at, name in enumerate(names)}
        writer.write(pa.table(columns), dict(zip(names, kinds, strict=True)))


def text_of(cell: Any, kinds: set[ColumnKind]) -> str | None:
    """The value of a cell as text; None for an empty one."""
    value = cell.value
    if value is None:
        return None
    if isinstance(value, bool):
        kinds.add("boolean")
        return "true" if value else "false"
    if isinstance(value, int | float):
        kinds.add("number")
        return repr(value)
    kinds.add("text")
    if isinstance(value, datetime):
        only_date = value.time() == time() and "h" not in str(cell.number_format).lower()
        return value.date().isoformat() if only_date else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return ESCAPED.sub(lambda found: unescaped(int(found[1], 16), found[0]), str(value))


def unescaped(code: int, written: str) -> str:
    """The character that an escape stands for; half a character stays as it is written."""
    return written if 0xD800 <= code <= 0xDFFF else chr(code)
