"""JSON in one piece: a list of objects, or an object that holds one such list; read element by element."""

import io
import json
from collections.abc import Callable, Iterator
from typing import TextIO

from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.json_rows import DECODER, WORDS, Place, RepeatedNameError, fitting, write_objects
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

CHUNK_CHARACTERS = 2**20
NEAR_THE_END = 64
"""An error this close to the end of the window may come from a value that is only cut there."""
SPACE = " \t\r\n"
PLAIN = json.JSONDecoder()
FIX_SHAPE = 'The file must be a list of objects: [{"question": "...", "answer": "..."}, ...].'


class Characters:
    """A window that slides over the text: values are decoded from its front, more text is added when one is cut."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False
        self.line = 1
        self.source = ""

    def _more(self) -> bool:
        """Adds text, as much again as there is, so that a huge value is not scanned over and over."""
        if self._ended:
            return False
        piece = self._file.read(max(CHUNK_CHARACTERS, len(self._text) - self._at))
        self._ended = not piece
        self._text = self._text[self._at :] + piece
        self._at = 0
        return bool(piece)

    def line_of(self, error: json.JSONDecodeError) -> int:
        """The line of an error that `value` raised; lines count from 1."""
        return self.line + self._text.count("\n", self._at, error.pos)

    def _forward(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            end = self._at
            while end < len(self._text) and self._text[end] in SPACE:
                end += 1
            self._forward(end)
            if end < len(self._text):
                return self._text[end]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Passes over the character that `peek` showed."""
        self._forward(self._at + 1)

    def value(self) -> object:
        """Decodes the next value; an object that holds a name twice is returned as the error that says so.

        Raises:
            JSONDecodeError, RecursionError
        """
        self.peek()
        while True:
            try:
                found, end = self._decode()
            except json.JSONDecodeError as error:
                cut = len(self._text) - error.pos < NEAR_THE_END or error.msg.startswith("Unterminated string")
                if cut and self._more():
                    continue
                raise
            if end == len(self._text) and self._more():
                continue
            self.source = self._text[self._at : end]
            self._forward(end)
            return found

    def _decode(self) -> tuple[object, int]:
        try:
            return DECODER.raw_decode(self._text, self._at)
        except RepeatedNameError as error:
            return error, PLAIN.raw_decode(self._text, self._at)[1]


def read(text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """Writes all rows as text; returns notes. Elements that are no objects are left out.

    Raises:
        UserError: not JSON (with row and line), not a list of objects, no rows, two lists.
    """
    place = Place(name, rejects)
    before = writer.row_count
    with text.path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
        file.seek(text.start)
        characters = Characters(file)

        def tell() -> None:
            progress.at(raw.tell(), writer.row_count)

        if characters.peek() == "[":
            write_objects(elements(characters, place, tell), writer)
            notes: tuple[str, ...] = ()
        else:
            notes = read_object(characters, writer, place, tell)
        if rest := characters.peek():
            raise UserError(
                f"After the end of the list comes more text: {rest!r}.",
                where=f"{name}, line {characters.line:,}",
                fix="Keep only one list in the file, or write JSON Lines: one object per line.",
            )
    rejects.end(writer.row_count - before)
    if writer.row_count == before:
        raise UserError(f"{name} holds no rows: its list is empty.", where=name, fix=FIX_SHAPE)
    return notes


def elements(characters: Characters, place: Place, tell: Callable[[], None]) -> Iterator[dict[str, object]]:
    """The objects of the list that begins here."""
    characters.skip()
    if characters.peek() == "]":
        characters.skip()
        return
    while True:
        place.row += 1
        characters.peek()
        place.line = characters.line
        value = decode(characters, place)
        if (row := fitting(value, characters.source, place)) is not None:
            yield row
        tell()
        following = characters.peek()
        if following not in (",", "]"):
            what = "the file ends" if not following else f"{following!r} stands"
            raise UserError(
                f"After row {place.row:,} {what} where a comma or ']' is expected.",
                where=f"{place.file}, row {place.row:,}, line {characters.line:,}",
                fix="The file is cut off; get it again." if not following else "Put a comma between the objects.",
            )
        characters.skip()
        if following == "]":
            return


def decode(characters: Characters, place: Place) -> object:
    """The next value, or an error with its row and line."""
    try:
        return characters.value()
    except json.JSONDecodeError as error:
        line = characters.line_of(error)
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        hint = "The file seems to be cut off; get it again." if cut else "Mend this place: commas, quotes, brackets."
        raise UserError(
            f"Row {place.row:,} is not valid JSON: {error.msg}.",
            where=f"{place.file}, row {place.row:,}, line {line:,}",
            fix=hint,
        ) from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"Row {place.row:,} cannot be read: {error}.", where=place.at(), fix="Mend this row.") from None


def read_object(characters: Characters, writer: TableWriter, place: Place, tell: Callable[[], None]) -> tuple[str, ...]:
    """An object that holds the list of rows under some name, beside other values."""
    if characters.peek() != "{":
        raise not_rows(place.file, characters)
    characters.skip()
    lists: list[str] = []
    while characters.peek() == '"':
        key = decode(characters, place)
        if characters.peek() != ":":
            raise UserError("A name has no value.", where=f"{place.file}, line {characters.line:,}", fix=FIX_SHAPE)
        characters.skip()
        if characters.peek() == "[":
            lists.append(str(key))
            if len(lists) > 1:
                raise UserError(
                    f"The file holds more than one list: “{lists[0]}” and “{lists[1]}”.",
                    where=f"{place.file}, line {characters.line:,}",
                    fix="Save the list that you want to import as a file of its own.",
                )
            write_objects(elements(characters, place, tell), writer)
        else:
            decode(characters, place)
        if characters.peek() != ",":
            break
        characters.skip()
    if characters.peek() != "}":
        raise UserError(
            "The outer object is not closed.", where=f"{place.file}, line {characters.line:,}", fix=FIX_SHAPE
        )
    characters.skip()
    if not lists:
        raise UserError("The file holds one object and no list of rows.", where=place.file, fix=FIX_SHAPE)
    return (f"The rows were found in the list “{lists[0]}”.",)


def not_rows(file: str, characters: Characters) -> UserError:
    """The error for a file that is some other JSON value, or none."""
    try:
        found = WORDS.get(type(characters.value()).__name__, "a value")
        what = f"The file is {found}, not a list of rows."
    except (ValueError, RecursionError):
        what = f"The file is not JSON: it begins with {characters.peek()!r}."
    return UserError(what, where=f"{file}, line {characters.line:,}", fix=FIX_SHAPE)
