"""CSV and TSV: pyarrow reads the blocks, Python's csv module finds header, delimiter and the place of an error."""

import csv
import io
from collections import Counter

import pyarrow as pa
import pyarrow.csv

from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_CHARACTERS = 256 * 1024
BLOCK_BYTES = 4 * 2**20
LARGEST_ROW_BYTES = 2**30
csv.field_size_limit(2**31 - 1)


def read(
    text: TextFile, name: str, writer: TableWriter, progress: Progress, block_bytes: int = BLOCK_BYTES
) -> tuple[str, ...]:
    """Writes all rows as text and returns notes for the user.

    An empty field is a missing value; a quoted one ("") is an empty text.

    Raises:
        UserError: no header, no rows, a column name used twice, a row with more or fewer values than the header.
        LongRowError: a row is longer than a block; to be tried again with larger blocks and a new writer.
    """
    delimiter = sniff_delimiter(text)
    names, header_lines, notes = read_header(text, name, delimiter)
    try:
        read_blocks(text, names, header_lines, delimiter, block_bytes, writer, progress)
    except pa.ArrowInvalid as error:
        if "straddling" in str(error) and block_bytes < LARGEST_ROW_BYTES:
            raise LongRowError from None
        raise explain(text, name, names, delimiter, str(error)) from None
    if writer.row_count == 0:
        raise UserError(
            f"{name} holds a header but no rows.", where=name, fix="Choose a file with at least two rows of data."
        )
    if delimiter != ("\t" if name.lower().endswith((".tsv", ".tab")) else ","):
        notes = (*notes, f"The values are separated by {DELIMITERS[delimiter]}.")
    return notes


class LongRowError(Exception):
    """A row is longer than a block."""


def sniff_delimiter(text: TextFile) -> str:
    """The delimiter that cuts the first rows into the same number of values, the more the better."""
    with text.path.open("rb") as file:
        file.seek(text.start)
        sample = file.read(SAMPLE_CHARACTERS).decode("utf-8", errors="ignore")
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        widths = Counter[int]()
        first = 0
        try:
            for number, row in enumerate(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)):
                if number >= 200:
                    break
                if row:
                    first = first or len(row)
                    widths[len(row)] += 1
        except csv.Error:
            continue
        if first > 1:
            score = widths[first] / widths.total() + 0.001 * min(first, 100)
            if score > best_score:
                best, best_score = delimiter, score
    return best


def read_header(text: TextFile, name: str, delimiter: str) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Names of the columns, number of lines that the header takes, notes."""
    with text.path.open(encoding="utf-8", newline="") as file:
        file.seek(text.start)
        reader = csv.reader(file, delimiter=delimiter)
        row = next((row for row in reader if row), None)
        lines = reader.line_num
    if row is None:
        raise UserError(f"{name} is empty.", where=name, fix="Choose a file with a header and rows.")
    names = [value.strip() for value in row]
    notes: tuple[str, ...] = ()
    unnamed = [index for index, value in enumerate(names) if not value]
    for index in unnamed:
        names[index] = f"column_{index + 1}"
        notes = (*notes, f"Column {index + 1} has no name in the header; it is called “column_{index + 1}” here.")
    refuse_doubles(names, name)
    return tuple(names), lines, notes


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


def read_blocks(
    text: TextFile,
    names: tuple[str, ...],
    header_lines: int,
    delimiter: str,
    block_bytes: int,
    writer: TableWriter,
    progress: Progress,
) -> None:
    """All rows through pyarrow, block by block."""
    with text.path.open("rb") as file:
        file.seek(text.start)
        for _ in range(header_lines):
            skip_line(file)
        if not file.peek(1):
            return
        try:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=block_bytes, use_threads=False),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    null_values=[""],
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return
            raise
        for batch in reader:
            writer.write(pa.Table.from_batches([batch]))
            progress.at(file.tell(), writer.row_count)


def skip_line(file: io.BufferedReader) -> None:
    """Moves behind the next line end, which may be a lone carriage return as csv counts lines."""
    while byte := file.read(1):
        if byte == b"\n":
            return
        if byte == b"\r":
            if file.peek(1)[:1] == b"\n":
                file.read(1)
            return


def explain(text: TextFile, name: str, names: tuple[str, ...], delimiter: str, said: str) -> UserError:
    """Reads the file once more with Python to find the row that pyarrow refused."""
    with text.path.open(encoding="utf-8", newline="") as file:
        file.seek(text.start)
        reader = csv.reader(file, delimiter=delimiter, strict=False)
        row_number, line = -1, 1
        longest_row, longest_lines = 0, 0
        for row in reader:
            if row:
                row_number += 1
                if len(row) != len(names):
                    return ragged(name, names, delimiter, row, row_number, line)
                if reader.line_num - line > longest_lines:
                    longest_row, longest_lines = row_number, reader.line_num - line
            line = reader.line_num + 1
    hint = f" Row {longest_row:,} spans {longest_lines + 1} lines; perhaps its quote is not closed." * (
        longest_lines > 5
    )
    return UserError(
        f"The table cannot be read: {said}.", where=name, fix=f"Save the file again as CSV or JSON Lines.{hint}"
    )


def ragged(name: str, names: tuple[str, ...], delimiter: str, row: list[str], number: int, line: int) -> UserError:
    """The error for a row whose number of values differs from the header's."""
    sign = {"\t": "a tab"}.get(delimiter, f"“{delimiter}”")
    values = "1 value" if len(row) == 1 else f"{len(row)} values"
    end = names[min(len(row), len(names)) - 1]
    return UserError(
        f"Row {number:,} has {values}, the header has {len(names)}: {', '.join(names[:6])}.",
        where=f"{name}, row {number:,} (line {line:,}), column “{end}”",
        fix=f'Put a text that holds {sign} or a line break in double quotes ("..."), and write a double quote inside '
        'it twice (""). Or use JSON Lines, where this cannot happen.',
    )
