"""Packed files: the data files of a zip or tar archive, or what a gzip or zstd file holds, unpacked within bounds.

The names inside an archive are only shown, never used as paths, so nothing can be written outside the scratch folder.
"""

import gzip
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

import pyarrow as pa

from llm_studio.data.reading.formats import (
    ARCHIVES,
    DAMAGE,
    EXTENSIONS,
    HEAD_BYTES,
    LIST_OF_FORMATS,
    PLAIN_KIND,
    TAR_MARK,
    is_trouble,
)
from llm_studio.data.reading.progress import Progress
from llm_studio.errors import UserError

MEMBERS = 10_000
UNPACKED_BYTES = 64 * 2**30
RATIO = 200
"""Times the size of the archive; text rarely shrinks to less than a fiftieth."""
RATIO_FROM_BYTES = 64 * 2**20
"""A small file may shrink by more, for it does no harm."""
FREE_BYTES = 2**30
"""Unpacking leaves at least this much of the disk free."""
CHUNK = 2**20
FIX_UNPACK = "Unpack it yourself, look at what it holds, and import the data file."
NO_DATA = {"dataset_info.json", "dataset_dict.json", "state.json", "dataset_infos.json"}
"""What the `datasets` library writes beside its tables."""


@dataclass(frozen=True)
class Member:
    """A file to read: where it lies, and how the user knows it."""

    path: Path
    name: str


class Bounds:
    """Stops unpacking at the limits; one for each archive."""

    def __init__(self, path: Path, name: str, scratch: Path, progress: Progress) -> None:
        self.name = name
        self.scratch = scratch
        self.progress = progress
        self.packed = path.stat().st_size
        self.limit = max(RATIO * self.packed, RATIO_FROM_BYTES)
        self.done = 0
        self.members = 0

    def copy(self, source: IO[bytes], shown: str) -> Path:
        """Unpacks one member to a file of its own in the scratch folder.

        Raises:
            UserError: the member or the archive is damaged, or a limit is reached.
        """
        target = self.scratch / f"member-{self.members}"
        self.members += 1
        with target.open("wb") as out:
            while chunk := source.read(CHUNK):
                self.done += len(chunk)
                self.check(shown)
                out.write(chunk)
                self.progress.unpacking(self.done)
        return target

    def check(self, shown: str) -> None:
        """Whether what is unpacked so far stays within the limits."""
        if self.done > self.limit:
            raise UserError(
                f"{self.name} grows to more than {RATIO} times its size of {self.packed:,} bytes when unpacked, "
                "which is how harmful archives behave.",
                where=shown,
                fix=FIX_UNPACK,
            )
        if self.done > UNPACKED_BYTES:
            raise UserError(
                f"{self.name} holds more than {UNPACKED_BYTES / 2**30:,.0f} GB of data when unpacked.",
                where=shown,
                fix="Split the data into several archives and import one of them.",
            )
        if shutil.disk_usage(self.scratch).free < FREE_BYTES:
            raise UserError(
                f"The disk is nearly full after unpacking {self.done / 1e6:,.0f} MB of {self.name}.",
                where=str(self.scratch.parent),
                fix="Free some space.",
            )

    def count(self, members: int) -> None:
        """Whether the archive holds too many files."""
        if members > MEMBERS:
            raise UserError(
                f"{self.name} holds more than {MEMBERS:,} files.",
                where=self.name,
                fix="Join the files into one, for example as JSON Lines with one row for each file.",
            )


def unpack(path: Path, name: str, kind: str, scratch: Path, progress: Progress) -> tuple[list[Member], tuple[str, ...]]:
    """The data files of an archive, in the order of their names, and notes on what was left aside.

    Raises:
        UserError: damaged, with a password, more than the limits allow, no data file, links, paths that lead outside,
            archives within.
    """
    bounds = Bounds(path, name, scratch, progress)
    try:
        if kind == "zip":
            return choose(list(from_zip(path, bounds)), name)
        if is_tar(path, kind):
            return choose(list(from_tar(path, kind, bounds)), name)
        with opened(path, kind) as stream:
            inner = re.sub(r"\.(gz|zst|tgz)$", "", name, flags=re.IGNORECASE)
            return [Member(bounds.copy(stream, name), inner)], ()
    except (*DAMAGE, pa.ArrowException, OSError) as error:
        if is_trouble(error):
            raise
        raise damaged(name, kind, str(error)) from None


def damaged(name: str, kind: str, said: str) -> UserError:
    """The error for an archive that cannot be unpacked."""
    return UserError(
        f"{name} is a damaged {kind} file: {said or 'it ends too early'}.",
        where=name,
        fix="The download or the copy was not complete. Get the file again.",
    )


def opened(path: Path, kind: str) -> IO[bytes]:
    """The file as a stream of unpacked bytes."""
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if kind == "zstd":
        stream: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return stream
    return path.open("rb")


def is_tar(path: Path, kind: str) -> bool:
    """Whether the unpacked bytes are a tar archive."""
    with opened(path, kind) as stream:
        head = stream.read(HEAD_BYTES)
    at, mark = TAR_MARK
    return head[at : at + len(mark)] == mark


def from_zip(path: Path, bounds: Bounds) -> Iterator[tuple[Path | None, str]]:
    """Each file of the archive with its name; those that are no data are not unpacked."""
    with zipfile.ZipFile(path) as archive:
        bounds.count(len(archive.infolist()))
        for info in archive.infolist():
            if info.is_dir() or is_litter(info.filename):
                continue
            check_member(info.filename, bounds.name, link=(info.external_attr >> 16) & 0o170000 == 0o120000)
            if info.flag_bits & 1:
                raise UserError(
                    f"{info.filename} in {bounds.name} is protected by a password.",
                    where=f"{bounds.name}, {info.filename}",
                    fix="Unpack it yourself with the password and import the data file.",
                )
            if not is_data(info.filename):
                yield None, info.filename
                continue
            with archive.open(info) as stream:
                yield bounds.copy(stream, f"{bounds.name}, {info.filename}"), info.filename


def from_tar(path: Path, kind: str, bounds: Bounds) -> Iterator[tuple[Path | None, str]]:
    """As `from_zip`; the archive is read once from front to end."""
    with opened(path, kind) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, info in enumerate(archive, start=1):
            bounds.count(number)
            if info.isdir() or is_litter(info.name):
                continue
            check_member(info.name, bounds.name, link=not info.isreg())
            if not is_data(info.name):
                yield None, info.name
                continue
            content = archive.extractfile(info)
            assert content is not None
            yield bounds.copy(content, f"{bounds.name}, {info.name}"), info.name


def is_litter(name: str) -> bool:
    """Files that desktops leave in archives, and hidden ones."""
    return any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in PurePosixPath(name).parts)


def is_data(name: str) -> bool:
    """Whether a file may hold rows, by its ending."""
    path = PurePosixPath(name)
    return path.suffix.lower() in EXTENSIONS and path.name not in NO_DATA


def check_member(name: str, archive: str, *, link: bool) -> None:
    """Refuses what no archive of data holds: links and devices, paths that lead outside, archives."""
    where = f"{archive}, {name}"
    parts = name.replace("\\", "/").split("/")
    if link:
        raise UserError(f"{name} in {archive} is a link or a device, not a file.", where=where, fix=FIX_UNPACK)
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise UserError(f"The path {name} in {archive} leads outside the archive.", where=where, fix=FIX_UNPACK)
    if EXTENSIONS.get(PurePosixPath(name).suffix.lower()) in ARCHIVES:
        raise UserError(
            f"{archive} holds another archive: {name}.",
            where=where,
            fix="Unpack the outer archive and import that one.",
        )


def choose(found: list[tuple[Path | None, str]], name: str) -> tuple[list[Member], tuple[str, ...]]:
    """The files to read: tables if there are any, else plain text; what is left aside is named in a note."""
    data = sorted(((path, member) for path, member in found if path is not None), key=lambda one: natural(one[1]))
    tables = [one for one in data if EXTENSIONS[PurePosixPath(one[1]).suffix.lower()] != PLAIN_KIND]
    chosen = tables or data
    if not chosen:
        raise UserError(
            f"{name} holds no data file" + (f" ({listed([member for _, member in found])})." if found else "."),
            where=name,
            fix=f"Pack a file of one of these formats: {LIST_OF_FORMATS.split(', or')[0]}.",
        )
    taken = {member for _, member in chosen}
    aside = [member for _, member in found if member not in taken]
    notes = (f"Left aside in the archive: {listed(aside)}.",) if aside else ()
    return [Member(path, f"{name}/{member}") for path, member in chosen], notes


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts part-2 before part-10."""
    return [(int(piece), "") if piece.isdigit() else (0, piece) for piece in re.split(r"([0-9]+)", name)]


def listed(names: list[str]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
