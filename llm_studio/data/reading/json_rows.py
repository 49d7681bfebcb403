"""JSON Lines and JSON: pyarrow reads blocks of plain text columns, Python reads the others and names the bad row."""

import json
import re
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.json

from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import RejectedRow, Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.types import ColumnKind
from llm_studio.errors import UserError

BLOCK_BYTES = 4 * 2**20
FIRST_BLOCK_BYTES = 64 * 2**10
"""The first block tells the columns and goes through Python, so it is small."""
LARGEST_PLAIN_BYTES = 2**30
PARSERS = 2
BLOCKS_AHEAD = 4
BLOCK_ROWS = 2048
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
WORDS = {"list": "a list", "str": "text", "int": "a number", "Spelled": "a number", "bool": "true or false"}
WORDS |= {"NoneType": "null", "dict": "an object"}


@dataclass(frozen=True, slots=True)
class Spelled:
    """A number as the file spells it. No float, so that `json.dumps` stops at it instead of spelling it anew."""

    text: str


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


def constant(word: str) -> Spelled | None:
    """NaN is how Python writes a missing number; the infinities keep their words."""
    return None if word == "NaN" else Spelled(word)


def integer(text: str) -> Spelled | int:
    """A whole number; what `int` would spell otherwise, or refuses for its length, keeps its text."""
    return Spelled(text) if text == "-0" or len(text) > 4000 else int(text)


DECODER = json.JSONDecoder(object_pairs_hook=pairs, parse_float=Spelled, parse_int=integer, parse_constant=constant)


@dataclass
class Place:
    """Where in the file we are, and where rows go that do not fit."""

    file: str
    rejects: Rejects
    row: int = 0
    line: int = 0

    def at(self, column: str = "") -> str:
        """File, row, line and column as far as known; rows and lines count from 1."""
        text = f"{self.file}, row {self.row:,}"
        text += f" (line {self.line:,})" if self.line else ""
        return text + (f", column “{column}”" if column else "")

    def reject(self, reason: str, text: str, what: str, fix: str, column: str = "") -> None:
        """Leaves this row out; `what` and `fix` are for the case that the file is refused because of it."""
        error = UserError(what, where=self.at(column), fix=fix)
        self.rejects.add(RejectedRow(self.row, column, reason), text, error)


def read_lines(text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """JSON Lines: one object per line; blank lines are passed over, other lines that are no object are left out.

    Raises:
        UserError: hardly a line that is an object, with row, line and reason; no rows.
    """
    place = Place(name, rejects)
    before = writer.row_count
    with closing(parsed_blocks(text, writer)) as blocks:
        for block, at, table in blocks:
            if table is None:
                write_objects(parse_lines(block, place), writer)
            else:
                writer.write(table, {column: kinds_of(table, column) for column in table.column_names})
                place.row, place.line = place.row + table.num_rows, place.line + table.num_rows
            progress.at(at, writer.row_count)
    rejects.end(writer.row_count - before)
    if writer.row_count == before:
        raise UserError(f"{name} holds no rows.", where=name, fix="Put one JSON object on each line.")
    return ()


def parsed_blocks(text: TextFile, writer: TableWriter) -> Generator[tuple[bytes, int, pa.Table | None], None, None]:
    """Blocks of whole lines, where each ends, and their rows if the block is plain; some are parsed ahead."""
    with text.path.open("rb") as file, ThreadPoolExecutor(PARSERS) as pool:
        file.seek(text.start)
        waiting: deque[tuple[bytes, int, Future[pa.Table | None] | None]] = deque()
        ended = False
        while waiting or not ended:
            while not ended and len(waiting) < (BLOCKS_AHEAD if writer.names else 1):
                block = file.read(BLOCK_BYTES if writer.names else FIRST_BLOCK_BYTES)
                ended = not block
                if block:
                    block += file.readline()
                    plain = writer.names and writer.plain_text and len(block) < LARGEST_PLAIN_BYTES
                    future = pool.submit(parse_plain_block, block, writer.names) if plain else None
                    waiting.append((block, file.tell(), future))
            if waiting:
                block, at, future = waiting.popleft()
                yield block, at, None if future is None else future.result()


def parse_plain_block(block: bytes, names: tuple[str, ...]) -> pa.Table | None:
    """Reads a block of one object a line whose columns are all known and text; None when it is not such a block."""
    schema = pa.schema([(column, pa.string()) for column in names])
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(block),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except (pa.ArrowException, OSError):
        return None
    return table if table.num_rows == objects_of(block) else None


def objects_of(block: bytes) -> int:
    """The number of lines if each begins an object, else -1.

    Arrow takes two objects on a line, an object over two lines, and null for a row without values.
    """
    characters = np.frombuffer(block, dtype=np.uint8)
    starts = np.flatnonzero(characters[:-1] == ord("\n")) + 1
    begins = characters[0] == ord("{") and bool((characters[starts] == ord("{")).all())
    return len(starts) + 1 if begins else -1


def kinds_of(table: pa.Table, column: str) -> set[ColumnKind]:
    """The kinds in a column of a plain block: text, or nothing but missing values."""
    return {"text"} if table.column(column).null_count < table.num_rows else set()


def parse_lines(block: bytes, place: Place) -> Iterator[dict[str, object]]:
    """The object of every line that holds one."""
    for raw in block.split(b"\n"):
        place.line += 1
        line = raw.decode("utf-8").strip(" \t\r\n")
        if line:
            place.row += 1
            value: object
            try:
                value, end = DECODER.raw_decode(line)
                if end != len(line):
                    raise json.JSONDecodeError("Extra data", line, end)
            except RepeatedNameError as error:
                value = error
            except (ValueError, RecursionError) as error:
                reject_line(place, line, error)
                continue
            if (row := fitting(value, line, place)) is not None:
                yield row
    if block.endswith(b"\n"):
        place.line -= 1


def reject_line(place: Place, line: str, error: Exception) -> None:
    """A line that is not JSON."""
    said = f"{error.msg}, character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else str(error)
    start = line[:60] + ("..." if len(line) > 60 else "")
    place.reject(
        f"not valid JSON: {said}",
        line,
        f"Row {place.row:,} is not valid JSON: {said}. The line begins with: {start}",
        "Each line must be one complete JSON object. Mend this line, or write the file anew with a JSON library.",
    )


def fitting(value: object, text: str, place: Place) -> dict[str, object] | None:
    """The row, or None when it was rejected: no object, a name twice, half a character (`text` is its source)."""
    if isinstance(value, RepeatedNameError):
        place.reject(str(value), text, f"Row {place.row:,} cannot be read: {value}.", "Mend this row.")
    elif not isinstance(value, dict):
        found = WORDS.get(type(value).__name__, "a value")
        place.reject(
            f"{found}, not an object with named columns",
            text,
            f"Row {place.row:,} is {found}, not an object with named columns.",
            'Write each row as an object, for example {"question": "...", "answer": "..."}.',
        )
    elif HALF_CHARACTER.search(text) and (half := half_character(value)):
        name, found = half
        place.reject(
            f"half a character: {found}",
            text,
            f"The text in row {place.row:,}, column “{name}”, holds half a character: {found}.",
            "The text was cut in the middle of a character such as an emoji. Remove the rest of it.",
            name,
        )
    else:
        return value
    return None


def half_character(row: dict[str, object]) -> tuple[str, str] | None:
    """Column and place of a lone surrogate, as \\ud83d without its other half: no encoding can store it."""
    for name, value in row.items():
        for text in (name, text_of(value, set()) or ""):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x} alone, at character {error.start + 1:,}"
                return name.encode("utf-8", "backslashreplace").decode(), half
    return None


def write_objects(objects: Iterator[dict[str, object]], writer: TableWriter) -> None:
    """Writes rows in blocks; every value becomes text or missing."""
    rows: list[dict[str, object]] = []
    for row in objects:
        rows.append(row)
        if len(rows) >= BLOCK_ROWS:
            write_block(rows, writer)
            rows = []
    if rows:
        write_block(rows, writer)


def write_block(rows: list[dict[str, object]], writer: TableWriter) -> None:
    """One block of objects as text columns."""
    names = dict.fromkeys(writer.names)
    for row in rows:
        names.update(dict.fromkeys(row))
    if not names:
        raise UserError("A row is an empty object: it has no columns.", where="the first rows", fix="Name the columns.")
    kinds: dict[str, set[ColumnKind]] = {name: set() for name in names}
    columns = {name: pa.array([text_of(row.get(name), kinds[name]) for row in rows], pa.string()) for name in names}
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
    if isinstance(value, Spelled):
        kinds.add("number")
        return value.text
    if isinstance(value, int):
        kinds.add("number")
        return str(value)
    kinds.add("list")
    return to_json(value)


def to_json(value: object) -> str:
    """JSON of a list or object, with numbers as the file spells them."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return spelled_json(value)


def spelled_json(value: object) -> str:
    """What `to_json` gives, in Python and so more slowly."""
    if isinstance(value, Spelled):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{spelled_json(name)}: {spelled_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(spelled_json(member) for member in value) + "]"
    return json.dumps(value, ensure_ascii=False)
