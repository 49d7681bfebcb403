"""Which encoding a text file has, found by decoding all of it; anything but UTF-8 is copied to UTF-8 first."""

import codecs
import struct
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from llm_studio.data.reading.progress import Progress
from llm_studio.errors import UserError

CHUNK = 4 * 2**20
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
TITLES = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252 (Latin-1)"}
TITLES["latin-1"] = "Latin-1"


@dataclass(frozen=True)
class TextFile:
    """A UTF-8 file, where its text starts (after a byte order mark), and what the user should hear about it."""

    path: Path
    start: int
    notes: tuple[str, ...]


def as_utf8(path: Path, name: str, scratch: Path, progress: Progress) -> TextFile:
    """The file itself if it is UTF-8, else a copy in UTF-8 at `scratch`.

    Raises:
        UserError: bytes that fit no encoding, with the line; a file that is not text.
    """
    with path.open("rb") as file:
        head = file.read(CHUNK)
    encoding = next((encoding for mark, encoding in BOMS if head.startswith(mark)), "")
    if not encoding:
        encoding = utf16_without_mark(head) or "utf-8"
    if encoding.startswith("utf-8"):
        if is_utf8(path, progress):
            return TextFile(path, 3 if encoding == "utf-8-sig" else 0, ())
        encoding = fallback(path, name)
    transcode(path, name, encoding, scratch, progress)
    note = f"The file is in {TITLES[encoding]} and was read as such."
    if encoding in ("cp1252", "latin-1"):
        note = (
            f"The file is not UTF-8, so it was read as {TITLES[encoding]}. Look at accents and quotes in the preview."
        )
    return TextFile(scratch, 0, (note,))


def utf16_without_mark(head: bytes) -> str:
    """UTF-16 shows itself by NUL in every second byte of Latin text."""
    sample = head[:2000]
    if len(sample) < 4:
        return ""
    even, odd = sample[0::2].count(0) / len(sample) * 2, sample[1::2].count(0) / len(sample) * 2
    if odd > 0.4 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.1 else ""


def is_utf8(path: Path, progress: Progress) -> bool:
    """Validates the whole file once, with Arrow: ten times as fast as decoding it."""
    done, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            text = rest + chunk
            end = len(text) - cut_character(text)
            if not all_utf8(text[:end]):
                return False
            rest = text[end:]
            done += len(chunk)
            progress.at(done, 0, "Checking the text encoding")
    return all_utf8(rest)


def cut_character(text: bytes) -> int:
    """How many bytes at the end may begin a character that goes on behind it: 0 to 3."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte >= 0xC0:
            return back
        if byte < 0x80:
            break
    return 0


def all_utf8(text: bytes) -> bool:
    """Whether these bytes are whole characters of UTF-8."""
    offsets = pa.py_buffer(struct.pack("<ii", 0, len(text)))
    try:
        pa.StringArray.from_buffers(1, offsets, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def fallback(path: Path, name: str) -> str:
    """The one-byte encoding of a file that is not UTF-8.

    A file with some valid UTF-8 beyond ASCII is damaged UTF-8, not Latin-1: guessing would spoil the good part.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    damaged = good = 0
    seen: set[int] = set()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            text = decoder.decode(chunk)
            bad = text.count("\ufffd")
            damaged += bad
            good += len(text) - len(text.encode("ascii", "ignore")) - bad
            seen |= set(chunk)
    if 0 in seen or len(seen & set(range(1, 9))) > 3:
        raise UserError(
            f"{name} is not a text file: it holds bytes that no text has.",
            where=name,
            fix="Save the table as CSV, JSON Lines or Parquet and import that file.",
        )
    if good > damaged / 10:
        offset, line, byte = first_bad_byte(path)
        raise UserError(
            f"The text is not valid UTF-8: byte 0x{byte:02X} in line {line:,} (byte {offset:,} of the file).",
            where=f"{name}, line {line:,}",
            fix="The rest of the file is UTF-8, so this place is damaged or was pasted from another encoding. "
            "Mend the line, or save the whole file again as UTF-8.",
        )
    undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    return "latin-1" if seen & undefined else "cp1252"


def first_bad_byte(path: Path) -> tuple[int, int, int]:
    """Offset, line (from 1) and value of the first byte that is not UTF-8."""
    offset, line = 0, 1
    with path.open("rb") as file:
        for raw in file:
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                return offset + error.start, line, raw[error.start]
            offset += len(raw)
            line += 1
    return offset, line, 0


def transcode(path: Path, name: str, encoding: str, scratch: Path, progress: Progress) -> None:
    """Copies the file to UTF-8; lines end as they did."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done = 0
    with path.open("rb") as source, scratch.open("wb") as target:
        while chunk := source.read(CHUNK):
            target.write(decode(decoder, chunk, False, name, encoding))
            done += len(chunk)
            progress.at(done, 0, f"Converting from {TITLES[encoding]}")
        target.write(decode(decoder, b"", True, name, encoding))


def decode(decoder: codecs.IncrementalDecoder, chunk: bytes, final: bool, name: str, encoding: str) -> bytes:
    """UTF-8 bytes of a chunk."""
    try:
        return decoder.decode(chunk, final).encode("utf-8")
    except UnicodeError as error:
        raise UserError(
            f"The text looks like {TITLES[encoding]} but is damaged: {error}.",
            where=name,
            fix="Save the file again as UTF-8.",
        ) from None
