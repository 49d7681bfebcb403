"""The charts of one experiment: rows that are only ever added, as JSON, in a file that can be copied anywhere.

The file is a table of sqlitedict: zero-padded sequence number -> {"kind", "row"}. One process writes, any number read.
"""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlitedict import SqliteDict

FILE = "charts.db"
TABLE = "rows"
JOURNAL_MODE = "WAL"
BATCH_SECONDS = 1.0
BATCH_ROWS = 200
STEP = "step"

Row = tuple[int, str, dict[str, Any]]


class ChartsDb:
    """The rows of the experiment in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._rows: SqliteDict | None = None
        self._next = 1
        self._waiting = 0
        self._committed_at = 0.0

    def append(self, kind: str, row: dict[str, Any]) -> int:
        """Add a row; gives its sequence number.

        Rows of kind "step" are committed together, once a second; any other kind at once.
        """
        with self._lock:
            rows = self._open()
            sequence = self._next
            rows[key_of(sequence)] = {"kind": kind, "row": finite(row)}
            self._next += 1
            self._waiting += 1
            late = time.monotonic() - self._committed_at >= BATCH_SECONDS
            if kind != STEP or late or self._waiting >= BATCH_ROWS:
                self._commit(rows)
            return sequence

    def flush(self) -> None:
        """Let readers see every row added so far."""
        with self._lock:
            if self._rows is not None and self._waiting:
                self._commit(self._rows)

    def close(self) -> None:
        """Commit and let go of the file."""
        with self._lock:
            if self._rows is not None:
                self._commit(self._rows)
                self._rows.close()
                self._rows = None

    def read(self, after: int = 0, kinds: Collection[str] | None = None) -> list[Row]:
        """The committed rows behind sequence number `after`, in order: (sequence number, kind, row).

        Asks SQLite for the range of keys, so that a page that follows a long experiment reads only what is new.
        """
        if not self._path.is_file():
            return []
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            query = f"SELECT key, value FROM {TABLE} WHERE key > ? ORDER BY key"
            found = connection.execute(query, (key_of(after),)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # the writer has made the file and not the table yet
                return []
            raise
        finally:
            connection.close()
        result: list[Row] = []
        for key, value in found:
            stored = json.loads(value)
            if kinds is None or stored["kind"] in kinds:
                result.append((int(key), stored["kind"], stored["row"]))
        return result

    def _open(self) -> SqliteDict:
        if self._rows is None:
            self._rows = SqliteDict(
                str(self._path), tablename=TABLE, autocommit=False, journal_mode=JOURNAL_MODE,
                encode=json.dumps, decode=json.loads,
            )  # fmt: skip
            last = self._rows.conn.select_one(f"SELECT MAX(key) FROM {TABLE}")
            self._next = int(last[0]) + 1 if last and last[0] else 1
        return self._rows

    def _commit(self, rows: SqliteDict) -> None:
        rows.commit(blocking=True)
        self._waiting = 0
        self._committed_at = time.monotonic()


def key_of(sequence: int) -> str:
    """The sequence number in twelve digits, so that keys sort as numbers do."""
    return f"{sequence:012d}"


def finite(value: Any) -> Any:
    """The same value with None for every NaN and infinity: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
