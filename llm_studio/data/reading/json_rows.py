"""JSON Lines and JSON: pyarrow reads blocks of plain text columns, Python reads the others and names the bad row."""

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import pyarrow as pa
import pyarrow.json

from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.types import ColumnKind
from llm_studio.errors import UserError

BLOCK_BYTES = 4 * 2**20
BLOCK_ROWS = 2048
WORDS = {"list": "a list", "str": "text", "int": "a number", "SpelledFloat": "a number", "bool": "true or false"}
WORDS |= {"NoneType": "null", "dict": "an object"}


class SpelledFloat(float):
    """A number that remembers how the file wrote it."""

    text: str

    def __new__(cls, text: str) -> "SpelledFloat":
        """`text` is what stands in the file."""
        self = super().__new__(cls, text)
        self.text = text
        return self


class RepeatedNameError(ValueError):
    """An object holds one name twice."""


def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
    """An object; a repeated name would lose a value in silence."""
    found = dict(items)
    if len(found) != len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise RepeatedNameError(f"the name “{twice}” occurs twice")
    return found


def constant(word: str) -> float | None:
    """NaN is how Python writes a missing number; the infinities keep their words."""
    return None if word == "NaN" else SpelledFloat(word)


DECODER = json.JSONDecoder(object_pairs_hook=pairs, parse_float=SpelledFloat, parse_constant=constant)


@dataclass
class Place:
    """Where in the file we are: for error texts."""

    file: str
    row: int = 0
    line: int = 0

    def at(self, column: str = "") -> str:
        """File, row, line and column as far as known; rows and lines count from 1."""
        text = f"{self.file}, row {self.row:,}"
        text += f" (line {self.line:,})" if self.line else ""
        return text + (f", column “{column}”" if column else "")


def read_lines(text: TextFile, name: str, writer: TableWriter, progress: Progress) -> tuple[str, ...]:
    """JSON Lines: one object per line; blank lines are passed over.

    Raises:
        UserError: a line that is not an object, with row, line and reason; no rows.
    """
    place = Place(name)
    plain = True
    with text.path.open("rb") as file:
        file.seek(text.start)
        while block := file.read(BLOCK_BYTES):
            block += file.readline()
            done = read_plain_block(block, writer) if plain and writer.names else None
            if done is None:
                write_objects(parse_lines(block, place), writer, place)
                plain = writer.plain_text
            else:
                place.row, place.line = place.row + done, place.line + block.count(b"\n")
            progress.at(file.tell(), writer.row_count)
    if writer.row_count == 0:
        raise UserError(f"{name} holds no rows.", where=name, fix="Put one JSON object on each line.")
    return ()


def read_plain_block(block: bytes, writer: TableWriter) -> int | None:
    """Reads a block whose columns are all known and text; None when it is not such a block."""
    schema = pa.schema([(column, pa.string()) for column in writer.names])
    try:
        table = pyarrow.json.read_json(
            io.BytesIO(block),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except (pa.ArrowException, OSError):
        return None
    writer.write(table, {column: {"text"} for column in writer.names})
    return int(table.num_rows)


def parse_lines(block: bytes, place: Place) -> Iterator[object]:
    """The value of every line."""
    for raw in block.split(b"\n"):
        place.line += 1
        line = raw.decode("utf-8").strip(" \t\r\n")
        if line:
            place.row += 1
            try:
                value, end = DECODER.raw_decode(line)
            except (ValueError, RecursionError) as error:
                refuse_line(place, line, error)
            if end != len(line):
                refuse_line(place, line, json.JSONDecodeError("Extra data", line, end))
            yield value
    if block.endswith(b"\n"):
        place.line -= 1


def refuse_line(place: Place, line: str, error: Exception) -> NoReturn:
    """A line that is not JSON."""
    said = f"{error.msg}, character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else str(error)
    start = line[:60] + ("..." if len(line) > 60 else "")
    raise UserError(
        f"Row {place.row:,} is not valid JSON: {said}. The line begins with: {start}",
        where=place.at(),
        fix="Each line must be one complete JSON object. Mend this line, or write the file anew with a JSON library.",
    ) from None


def write_objects(values: Iterator[object], writer: TableWriter, place: Place) -> None:
    """Writes rows in blocks; every value becomes text or missing."""
    rows: list[dict[str, object]] = []
    for value in values:
        if not isinstance(value, dict):
            raise UserError(
                f"Row {place.row:,} is {WORDS.get(type(value).__name__, 'a value')}, not an object with named columns.",
                where=place.at(),
                fix='Write each row as an object, for example {"question": "...", "answer": "..."}.',
            )
        rows.append(value)
        if len(rows) >= BLOCK_ROWS:
            write_block(rows, writer, place)
            rows = []
    if rows:
        write_block(rows, writer, place)


def write_block(rows: list[dict[str, object]], writer: TableWriter, place: Place) -> None:
    """One block of objects as text columns."""
    names = dict.fromkeys(writer.names)
    for row in rows:
        names.update(dict.fromkeys(row))
    kinds: dict[str, set[ColumnKind]] = {name: set() for name in names}
    columns: dict[str, pa.Array] = {}
    for name in names:
        texts = [text_of(row.get(name), kinds[name]) for row in rows]
        try:
            columns[name] = pa.array(texts, pa.string())
            name.encode("utf-8")
        except UnicodeEncodeError:
            refuse_surrogate(texts, name, place, len(rows))
    if not names:
        raise UserError("A row is an empty object: it has no columns.", where=place.at(), fix="Name the columns.")
    writer.write(pa.table(columns), kinds)


def text_of(value: object, kinds: set[ColumnKind]) -> str | None:
    """The value as the file spells it; lists and objects as JSON."""
    if isinstance(value, str):
        kinds.add("text")
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        kinds.add("boolean")
        return "true" if value else "false"
    if isinstance(value, SpelledFloat):
        kinds.add("number")
        return value.text
    if isinstance(value, int):
        kinds.add("number")
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    kinds.add("list")
    return json.dumps(value, ensure_ascii=False)


def refuse_surrogate(texts: list[str | None], name: str, place: Place, count: int) -> NoReturn:
    """Half a character, as \\ud83d alone: no encoding can store it."""
    for index, text in enumerate(texts):
        try:
            (text or "").encode("utf-8")
        except UnicodeEncodeError as error:
            row = place.row - count + index + 1
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise UserError(
                f"The text in row {row:,}, column “{name}”, holds half a character: {half} alone, "
                f"at character {error.start + 1:,}.",
                where=f"{place.file}, row {row:,}, column “{name}”",
                fix="The text was cut in the middle of a character such as an emoji. Remove the rest of it.",
            ) from None
    raise UserError(f"The column name {name!r} holds half a character.", where=place.file, fix="Rename the column.")
