"""Which formats are read: by the first bytes of a file, and for text by its ending."""

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

from llm_studio.errors import UserError

EXTENSIONS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".xlsx": "Excel",
    ".xlsm": "Excel",
    ".txt": "plain text",
    ".md": "plain text",
    ".zip": "zip",
    ".gz": "gzip",
    ".tgz": "gzip",
    ".zst": "zstd",
    ".tar": "tar",
}
"""What an ending promises. The content decides; the ending only tells CSV, TSV and plain text apart."""
PLAIN_KIND = "plain text"
ARCHIVES = ("zip", "gzip", "zstd", "tar")
BINARY = ("Parquet", "Arrow", "Excel", *ARCHIVES)
LIST_OF_FORMATS = (
    "CSV, TSV, JSON, JSON Lines (.jsonl), Parquet, Arrow, Excel (.xlsx), plain text (.txt), "
    "or one of these packed as .zip, .gz, .zst or .tar"
)
CONTENTS = {
    b"PAR1": "Parquet",
    b"ARROW1\0\0": "Arrow",
    b"\xff\xff\xff\xff": "Arrow",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
NOT_READ = {
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF89a": "a picture",
    b"SQLite format 3": "an SQLite database",
    b"BZh91AY&SY": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!\x1a": "a RAR archive",
    b"\x89HDF": "an HDF5 file",
}
STARTS = {"Parquet": "PAR1", "Arrow": "ARROW1 or an Arrow stream", "Excel": "PK"}
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, SyntaxError, EOFError),
    *(NotImplementedError, LookupError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError),
)
"""What zipfile, tarfile and openpyxl raise on damaged files, found by damaging some thousand files at random."""
TAR_MARK = (257, b"ustar")
HEAD_BYTES = 512


def check_file(path: Path, name: str) -> str:
    """The format of a file as far as its first bytes and its name tell; "" for text whose name has no ending.

    Raises:
        UserError: no such file, a folder, an empty file, an ending or a content that is not read.
    """
    if path.is_dir():
        raise UserError(f"{name} is a folder, not a file.", where=name, fix=f"Choose one file: {LIST_OF_FORMATS}.")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise UserError(f"There is no file {name}.", where=name, fix="Check the path for typing errors.") from None
    except OSError as error:
        raise UserError(
            f"{name} cannot be opened: {error.strerror}.", where=name, fix="Check its permissions."
        ) from None
    if not head:
        raise UserError(f"{name} is empty (0 bytes).", where=name, fix="Choose a file that holds rows.")
    suffix = Path(name).suffix.lower()
    unknown = UserError(
        f"{name} ends in {suffix}; such files are not read.", where=name, fix=f"Save it as {LIST_OF_FORMATS}."
    )
    try:
        found = by_content(path, name, head)
    except UserError as error:
        raise (unknown if suffix and suffix not in EXTENSIONS else error) from None
    if suffix and suffix not in EXTENSIONS and found in ("", *ARCHIVES):
        raise unknown
    if found:
        return found
    kind = EXTENSIONS.get(suffix, "")
    if kind in BINARY:
        start = f": it does not begin with {STARTS[kind]}" if kind in STARTS else ", although its name says so"
        raise UserError(
            f"{name} is not {a(kind)} file{start}.",
            where=f"{name}, byte 0",
            fix="Give the file the ending of its real format (.csv, .json, .jsonl), or get it again.",
        )
    return kind


def by_content(path: Path, name: str, head: bytes) -> str:
    """The format that the first bytes show; "" when they may be text.

    Raises:
        UserError: the content is known and not read.
    """
    for magic, what in NOT_READ.items():
        if head.startswith(magic):
            raise UserError(
                f"{name} is {what}; such files are not read.",
                where=name,
                fix=f"Unpack or open it with its own program and save the table as {LIST_OF_FORMATS}.",
            )
    found = next((kind for magic, kind in CONTENTS.items() if head.startswith(magic)), "")
    if found == "zip":
        return inside_zip(path, name)
    at, mark = TAR_MARK
    return "tar" if head[at : at + len(mark)] == mark else found


def inside_zip(path: Path, name: str) -> str:
    """Office files are zip archives: an Excel table is read, a text document is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (*DAMAGE, OSError) as error:
        if is_trouble(error):
            raise
        raise UserError(
            f"{name} begins as a zip archive or an Excel file but is damaged: {error}.",
            where=name,
            fix="The download or the copy was not complete. Get the file again.",
        ) from None
    if "xl/workbook.xml" in names:
        return "Excel"
    for member, what in (
        ("word/document.xml", "a Word document"),
        ("ppt/presentation.xml", "a PowerPoint file"),
        ("xl/workbook.bin", "a binary Excel file (.xlsb)"),
        ("META-INF/manifest.xml", "an OpenDocument file"),
    ):
        if member in names:
            raise UserError(
                f"{name} is {what}; such files are not read.",
                where=name,
                fix="Open it with its own program and save the table as CSV or Excel (.xlsx).",
            )
    return "zip"


def is_trouble(error: BaseException) -> bool:
    """Whether an error comes from the machine, say a full disk; EINVAL comes of a place that a damaged file names."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def a(kind: str) -> str:
    """The format with its article."""
    return f"an {kind}" if kind[0] in "AE" else f"a {kind}"
