"""Plain text: one row for a file, or for each of its paragraphs when the file is long, in the column `text`."""

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from llm_studio.data.reading.encoding import TextFile
from llm_studio.data.reading.progress import Progress
from llm_studio.data.reading.rejects import Rejects
from llm_studio.data.reading.sink import TableWriter
from llm_studio.errors import UserError

LONGEST_CHARACTERS = 4000
"""About 1,000 tokens, what a model is commonly trained on at once; a longer file is cut at its blank lines."""
LARGEST_PARAGRAPH_BYTES = 64 * 2**20
COLUMN = "text"
BLOCK_ROWS = 2048
SPACE = b" \t\r\n"


def read(text: TextFile, name: str, writer: TableWriter, rejects: Rejects, progress: Progress) -> tuple[str, ...]:
    """Writes the text as it stands, paragraphs without the line ends around them; returns a note on how it was cut.

    Raises:
        UserError: a paragraph of more than 64 MB.
    """
    with text.path.open("rb") as file:
        file.seek(text.start)
        head = file.read(4 * LONGEST_CHARACTERS + 4)
        whole = head.decode("utf-8", errors="ignore")
        if len(whole) <= LONGEST_CHARACTERS and not file.read(1):
            write([whole], writer)
            return (f"A text of at most {LONGEST_CHARACTERS:,} characters is one row, in the column “{COLUMN}”.",)
        file.seek(text.start)
        block: list[str] = []
        for paragraph in paragraphs(file, name):
            block.append(paragraph)
            if len(block) >= BLOCK_ROWS:
                write(block, writer)
                block = []
                progress.at(file.tell(), writer.row_count)
        write(block, writer)
        progress.at(file.tell(), writer.row_count)
    return (
        f"The text is longer than {LONGEST_CHARACTERS:,} characters, so each of its paragraphs (what stands between "
        f"blank lines) is one row, in the column “{COLUMN}”.",
    )


def paragraphs(file: IO[bytes], name: str) -> Iterator[str]:
    """What stands between blank lines; line ends within a paragraph stay as they are."""
    lines: list[bytes] = []
    size = number = first = 0
    while line := file.readline(LARGEST_PARAGRAPH_BYTES):
        number += 1
        if line.strip(SPACE):
            first = first or number
            lines.append(line)
            size += len(line)
            if size >= LARGEST_PARAGRAPH_BYTES:
                raise UserError(
                    f"The paragraph from line {first:,} on is longer than {LARGEST_PARAGRAPH_BYTES / 2**20:,.0f} MB.",
                    where=f"{name}, line {first:,}",
                    fix="Separate the texts by blank lines.",
                )
        elif lines:
            yield joined(lines)
            lines, size, first = [], 0, 0
    if lines:
        yield joined(lines)


def joined(lines: list[bytes]) -> str:
    """The paragraph without its last line end."""
    return b"".join(lines).removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")


def write(texts: list[str], writer: TableWriter) -> None:
    """A block of rows."""
    if texts:
        writer.write(pa.table({COLUMN: pa.array(texts, pa.string())}), {COLUMN: {"text"}})
