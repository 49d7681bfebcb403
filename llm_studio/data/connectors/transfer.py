"""Writes what comes over the network into a file: progress, cancel, a limit on size, a full disk said in words."""

import errno
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from llm_studio.data.reading.formats import EXTENSIONS, LIST_OF_FORMATS
from llm_studio.data.reading.progress import Progress, Report
from llm_studio.errors import UserError

CHUNK_BYTES = 2**18
SPARE_BYTES = 2**28


class Meter:
    """Tells how far a download is; the total may be unknown (None)."""

    def __init__(self, total_bytes: int | None, report: Report) -> None:
        self._progress = Progress(total_bytes or 1, report if total_bytes else self._without_share)
        self._report = report
        self._total = total_bytes
        self.done_bytes = 0

    def add(self, count: int) -> None:
        """So many bytes more have come."""
        self.done_bytes += count
        self._progress.at(self.done_bytes, 0, "Downloading")

    def _without_share(self, share: float | None, words: str) -> None:
        self._report(None, f"Downloading: {self.done_bytes / 1e6:,.0f} MB")


def save(
    chunks: Iterable[bytes], path: Path, *, total_bytes: int | None, report: Report, limit_bytes: int | None = None
) -> None:
    """Writes all chunks to `path`, at most `limit_bytes`.

    Raises:
        UserError: a format that is not read, larger than the limit, or a full disk. Cancelled: from `report`. Then
            there is no file.
    """
    refuse_unread(path.name)
    refuse_too_large(total_bytes, limit_bytes, path.name)
    refuse_full_disk(path.parent, total_bytes or 0)
    report(0.0 if total_bytes else None, "Downloading")
    meter = Meter(total_bytes, report)
    try:
        with path.open("xb") as file:
            for chunk in chunks:
                refuse_too_large(meter.done_bytes + len(chunk), limit_bytes, path.name)
                write(file.write, chunk, path)
                meter.add(len(chunk))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write(writer: Callable[[bytes], object], chunk: bytes, path: Path) -> None:
    """Writes one chunk; a full disk is the user's to mend."""
    try:
        writer(chunk)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError("The disk is full.", where=str(path.parent), fix="Free some space.") from None
        raise


def refuse_unread(name: str) -> None:
    """A file of another format is refused before it is fetched, by its ending."""
    suffix = Path(name).suffix.lower()
    if suffix not in EXTENSIONS:
        ending = f"ends in {suffix}" if suffix else "has no ending"
        raise UserError(
            f"{name} {ending}; such files are not read, so it was not fetched.",
            where=name,
            fix=f"Take a file of {LIST_OF_FORMATS}.",
        )


def refuse_too_large(size_bytes: int | None, limit_bytes: int | None, name: str) -> None:
    """The limit on what is fetched."""
    if limit_bytes is not None and size_bytes is not None and size_bytes > limit_bytes:
        raise UserError(
            f"The file is larger than {limit_bytes / 1e9:,.3g} GB, the most that is fetched.",
            where=name,
            fix="Raise the limit in the form of the source, or take a smaller file.",
        )


def refuse_full_disk(folder: Path, needed_bytes: int) -> None:
    """Whether so many bytes fit, before they are fetched."""
    free = shutil.disk_usage(folder).free
    if needed_bytes + SPARE_BYTES > free:
        raise UserError(
            f"The download takes {needed_bytes / 1e9:,.2f} GB, but {free / 1e9:,.2f} GB are free on the disk.",
            where=str(folder),
            fix="Free some space.",
        )


def file_name(name: str) -> str:
    """A name from outside as one plain file name: its last part, printable characters, at most 120 of them."""
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    kept = "".join(one for one in last if one.isprintable() and one not in '<>:"|?*').strip(" .")
    return kept[-120:] or "data"
