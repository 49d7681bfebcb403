"""How far a file is read: share, rows, rate; asks at the same time whether the user wants to stop."""

import time
from collections.abc import Callable

Report = Callable[[float | None, str], None]
"""Takes the share done in [0, 1] (None: not known) and words; raises Cancelled when the user asked to stop."""

SECONDS_BETWEEN_REPORTS = 0.2


class Progress:
    """Reports at most five times a second, so that a job may call `at` for every block."""

    def __init__(self, total_bytes: int, report: Report) -> None:
        self.total_bytes = max(total_bytes, 1)
        self.report = report
        self._start = time.monotonic()
        self._next = self._start
        self._bytes_before = 0

    def unpacking(self, unpacked_bytes: int) -> None:
        """So much is unpacked; how much will come is not known."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_BETWEEN_REPORTS
            self.report(None, f"Unpacking: {unpacked_bytes / 1e6:,.0f} MB")

    def unpacked(self, total_bytes: int) -> None:
        """From here on shares are of what was unpacked."""
        self.total_bytes = max(total_bytes, 1)
        self._start = time.monotonic()

    def rows(self, rows: int) -> None:
        """So many rows are done; how many will come is not known."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_BETWEEN_REPORTS
            self.report(None, f"Reading: {rows:,} rows")

    def next_file(self, bytes_before: int) -> None:
        """The bytes of `at` are those of one file, behind others of `bytes_before`."""
        self._bytes_before = bytes_before

    def at(self, read_bytes: int, rows: int, doing: str = "Reading") -> None:
        """`read_bytes` of this file and `rows` rows in all are done."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS_BETWEEN_REPORTS
        read_bytes += self._bytes_before
        seconds = max(now - self._start, 1e-3)
        done = f"{rows:,} rows, " if rows else ""
        words = (
            f"{doing}: {done}{read_bytes / 1e6:,.0f} of {self.total_bytes / 1e6:,.0f} MB, "
            f"{read_bytes / 1e6 / seconds:,.0f} MB/s"
        )
        left = seconds * (self.total_bytes - read_bytes) / max(read_bytes, 1)
        if seconds > 2 and left > 1:
            words += f", about {left:,.0f} s left" if left < 90 else f", about {left / 60:,.0f} min left"
        self.report(min(read_bytes / self.total_bytes, 1.0), words)
