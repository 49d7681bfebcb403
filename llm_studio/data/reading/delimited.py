"""CSV and TSV: pyarrow reads the blocks, Python's csv module finds header, delimiter and the place of an error."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv

from llm_studio.data.reading.delimiters import DELIMITERS, sniff_delimiter
from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import RejectedRow, Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

BLOCK_BYTES = 4 * 2**20
LARGEST_ROW_BYTES = 64 * 2**20
csv.field_size_limit(LARGEST_ROW_BYTES)


def read(text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """Writes all rows as text and returns notes for the user; rows with too many or too few values go to `rejects`.

    An empty field is a missing value; a quoted one ("") is an empty text.

    Raises:
        UserError: no header, no rows, a column name used twice, hardly a row that fits, a row of more than 64 MB.
    """
    delimiter = sniff_delimiter(text)
    names, header_lines, notes = read_header(text, name, delimiter)
    table = Rows(text, name, names, header_lines, delimiter)
    block_bytes = BLOCK_BYTES
    while True:
        try:
            table.read(block_bytes, writer, rejects, progress)
            break
        except pa.ArrowInvalid as error:
            if table.hopeless:
                raise rejects.refusal() from None
            if "straddling" not in str(error) or block_bytes >= LARGEST_ROW_BYTES:
                raise explain(table, str(error)) from None
            block_bytes = min(block_bytes * 4, LARGEST_ROW_BYTES)
    rejects.end(table.written)
    if table.written == 0:
        raise UserError(
            f"{name} holds a header but no rows.", where=name, fix="Choose a file with at least two rows of data."
        )
    if delimiter != ("\t" if name.lower().endswith((".tsv", ".tab")) else ","):
        sign = DELIMITERS.get(delimiter, f"“{delimiter}”" if delimiter.isprintable() else repr(delimiter))
        notes = (*notes, f"The values are separated by {sign}.")
    return notes


def read_header(text: TextFile, name: str, delimiter: str) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Names of the columns, number of lines that the header takes, notes."""
    with text.path.open(encoding="utf-8", newline="") as file:
        file.seek(text.start)
        reader = csv.reader(file, delimiter=delimiter)
        try:
            row = next((row for row in reader if row), None)
        except csv.Error:
            raise UserError(
                f"A name in the header of {name} is longer than {csv.field_size_limit():,} characters; perhaps its "
                "quote is not closed.",
                where=f"{name}, header",
                fix='Close the name with a double quote ("), or remove the one that opens it.',
            ) from None
        lines = reader.line_num
    if row is None:
        raise UserError(f"{name} is empty.", where=name, fix="Choose a file with a header and rows.")
    names, notes = name_columns(row, name)
    return names, lines, notes


def name_columns(header: list[str], file: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names in a header without white space around them, and a note on each column that had to be given one."""
    names = [value.strip() for value in header]
    notes: tuple[str, ...] = ()
    for index, value in enumerate(names):
        if not value:
            names[index] = f"column_{index + 1}"
            notes = (*notes, f"Column {index + 1} has no name in the header; it is called “column_{index + 1}” here.")
    refuse_doubles(names, file)
    return tuple(names), notes


def refuse_doubles(names: list[str], file: str) -> None:
    """Two columns of one name cannot be told apart."""
    twice = [value for value, count in Counter(names).items() if count > 1]
    if twice:
        places = " and ".join(str(index + 1) for index, value in enumerate(names) if value == twice[0])
        raise UserError(
            f"Two columns have the same name “{twice[0]}”.",
            where=f"{file}, header, columns {places}",
            fix="Give each column a name of its own in the first line of the file.",
        )


class Rows:
    """The rows of one file; a second `read`, with larger blocks, goes on where the first one stopped."""

    def __init__(self, text: TextFile, file: str, names: tuple[str, ...], header_lines: int, delimiter: str) -> None:
        self.text = text
        self.file = file
        self.names = names
        self.header_lines = header_lines
        self.delimiter = delimiter
        self.written = 0
        self.rejected = 0
        self.last_rejected = 0
        self.hopeless = False

    def read(self, block_bytes: int, writer: TableWriter, rejects: Rejects, progress: Progress) -> None:
        """All rows through pyarrow, block by block.

        Raises:
            ArrowInvalid: a row is longer than a block; or `hopeless`: none of the first rows fits.
        """
        to_skip, last = self.written, None
        with self.text.path.open("rb") as file:
            file.seek(self.text.start)
            for _ in range(self.header_lines):
                skip_line(file)
            if not file.peek(1):
                return
            for batch in self.batches(file, block_bytes, rejects):
                fresh = batch.slice(min(to_skip, batch.num_rows))
                to_skip -= batch.num_rows - fresh.num_rows
                if fresh.num_rows:
                    writer.write(pa.Table.from_batches([fresh]))
                    self.written += fresh.num_rows
                    last = fresh.column(fresh.num_columns - 1)[-1].as_py()
                progress.at(file.tell(), writer.row_count)
        if last and "\n" in last and self.last_rejected < self.written + self.rejected:
            self.refuse_open_quote(last)

    def batches(self, file: io.BufferedReader, block_bytes: int, rejects: Rejects) -> Iterator[pa.RecordBatch]:
        """Blocks of fitting rows; the others go to `rejects`, but for those that an earlier pass has given it."""
        known = self.rejected

        def unfit(row: pyarrow.csv.InvalidRow) -> str:
            nonlocal known
            if known:
                known -= 1
                return "skip"
            self.rejected += 1
            self.last_rejected = row.number
            rejected = RejectedRow(row.number, self.column(row.actual_columns), self.reason(row))
            fits = rejects.note(rejected, row.text, lambda: first_ragged(self, row.number, row.actual_columns))
            # pyarrow swallows what is raised here, so the end of the reading is asked for in its own words.
            self.hopeless = not fits
            return "skip" if fits else "error"

        try:
            yield from pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=self.names, block_size=block_bytes, use_threads=False
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=unfit
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self.names, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    null_values=[""],
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise

    def column(self, values: int) -> str:
        """The column at which a row with so many values parts from the header."""
        return self.names[min(values, len(self.names)) - 1]

    def reason(self, row: pyarrow.csv.InvalidRow) -> str:
        """Why a row does not fit."""
        lines = row.text.count("\n") + 1
        spans = f"; it spans {lines:,} lines, perhaps its quote is not closed" if lines > 1 else ""
        return f"{count_of_values(row.actual_columns)}, the header has {len(self.names)}{spans}"

    def refuse_open_quote(self, last: str) -> None:
        """A quote that is never closed takes in the rest of the file, and pyarrow calls that a value."""
        closed = (last.replace('"', '""') + '"').encode()
        with self.text.path.open("rb") as file:
            file.seek(max(self.text.path.stat().st_size - len(closed) - 64, 0))
            tail = file.read().rstrip(b"\r\n")
        if not tail.endswith(closed):
            raise UserError(
                f"The double quote that opens in row {self.written + self.rejected:,} is not closed: it takes in "
                f"{last.rstrip().count(chr(10)) + 1:,} lines up to the end of the file.",
                where=f"{self.file}, row {self.written + self.rejected:,}, column “{self.names[-1]}”",
                fix='Close the text with a double quote ("), or remove the one that opens it.',
            )


def skip_line(file: io.BufferedReader) -> None:
    """Moves behind the next line end, which may be a lone carriage return as csv counts lines."""
    while byte := file.read(1):
        if byte == b"\n":
            return
        if byte == b"\r":
            if file.peek(1)[:1] == b"\n":
                file.read(1)
            return


def explain(table: Rows, said: str) -> UserError:
    """The error for a file that pyarrow cannot cut into rows."""
    row = table.written + table.rejected + 1
    if "straddling" in said:
        return UserError(
            f"Row {row:,} or one soon after it is longer than {LARGEST_ROW_BYTES / 2**20:,.0f} MB; perhaps its quote "
            "is not closed.",
            where=f"{table.file}, row {row:,} or later",
            fix='Close the text with a double quote ("), or use JSON Lines for texts of this length.',
        )
    return UserError(
        f"The table cannot be read: {said}.", where=table.file, fix="Save the file again as CSV or JSON Lines."
    )


def first_ragged(table: Rows, number: int, values: int) -> UserError:
    """The error for the first unfit row; reads the file once more with Python to find its line."""
    row_number, line = -1, 1
    with table.text.path.open(encoding="utf-8", newline="") as file:
        file.seek(table.text.start)
        reader = csv.reader(file, delimiter=table.delimiter, strict=False)
        try:
            for row in reader:
                if row:
                    row_number += 1
                    if row_number == number and len(row) == values:
                        return ragged(table, values, number, f" (line {line:,})")
                line = reader.line_num + 1
        except csv.Error:
            pass
    return ragged(table, values, number, "")


def count_of_values(count: int) -> str:
    """The number of values in words."""
    return "1 value" if count == 1 else f"{count} values"


def ragged(table: Rows, values: int, number: int, line: str) -> UserError:
    """The error for a row whose number of values differs from the header's."""
    sign = {"\t": "a tab"}.get(table.delimiter, f"“{table.delimiter}”")
    return UserError(
        f"Row {number:,} has {count_of_values(values)}, the header has {len(table.names)}: "
        f"{', '.join(table.names[:6])}.",
        where=f"{table.file}, row {number:,}{line}, column “{table.column(values)}”",
        fix=f'Put a text that holds {sign} or a line break in double quotes ("..."), and write a double quote inside '
        'it twice (""). Or use JSON Lines, where this cannot happen.',
    )
