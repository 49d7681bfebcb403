"""Rows that do not fit: written beside the table with place, reason and text, as long as they are the exception."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from llm_studio.errors import UserError

FIRST_ROWS = 20
"""If the first rows of a file are all unfit, the reading is wrong and not the rows."""
WRITTEN_ROWS = 100_000
EXAMPLES = 10
RAW_CHARACTERS = 500


@dataclass(frozen=True)
class RejectedRow:
    """A row of the file that is no row of the table; `row` counts from 1 in its file, `column` is empty if unknown."""

    row: int
    column: str
    reason: str


def rejected_path(target: Path) -> Path:
    """Where the unfit rows of `target` are written: rejected.jsonl beside rows.parquet, else rejected-<stem>.jsonl."""
    return target.with_name("rejected.jsonl" if target.stem == "rows" else f"rejected-{target.stem}.jsonl")


class Rejects:
    """Counts unfit rows and writes the first WRITTEN_ROWS of them, one JSON object each.

    The objects hold file, row (from 1), column (may be empty), reason and text (the first RAW_CHARACTERS of the row as
    the file held it).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.examples: list[RejectedRow] = []
        self._out: TextIO | None = None
        self._file = ""
        self.in_file = 0
        self._among_first = 0
        self._first: Callable[[], UserError] | None = None

    def begin(self, file: str) -> None:
        """From here on rows come from `file`: each file of an archive is judged by itself."""
        self._file, self.in_file, self._among_first, self._first = file, 0, 0, None

    def add(self, rejected: RejectedRow, text: str, error: UserError) -> None:
        """Takes a row; `error` is for the case that the file is refused because of it.

        Raises:
            UserError: that of the first unfit row, when none of the first FIRST_ROWS rows of the file fits.
        """
        if not self.note(rejected, text, lambda: error):
            raise self.refusal()

    def note(self, rejected: RejectedRow, text: str, error: Callable[[], UserError]) -> bool:
        """Takes a row as `add` does, with an error that is costly to make; False when none of the first rows fits."""
        self.count += 1
        self.in_file += 1
        self._among_first += rejected.row <= FIRST_ROWS
        self._first = self._first or error
        if len(self.examples) < EXAMPLES:
            self.examples.append(rejected)
        if self.count <= WRITTEN_ROWS:
            if self._out is None:
                # A lone surrogate in a column's name becomes \udXXX, which is how JSON spells it.
                self._out = self.path.open("w", encoding="utf-8", errors="backslashreplace")
            record = {
                "file": self._file,
                "row": rejected.row,
                "column": rejected.column,
                "reason": rejected.reason,
                "text": text[:RAW_CHARACTERS],
            }
            self._out.write(json.dumps(record, ensure_ascii=False) + "\n")
        return self._among_first < FIRST_ROWS

    def refusal(self) -> UserError:
        """The error of the first unfit row of this file."""
        assert self._first is not None
        return self._first()

    def end(self, fitting_rows: int) -> None:
        """The file is read: `fitting_rows` of its rows are in the table.

        Raises:
            UserError: that of the first unfit row, when more than half of the rows do not fit.
        """
        if self.in_file > fitting_rows:
            raise self.refusal()

    def close(self) -> None:
        """Ends the file of unfit rows, if there is one."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def discard(self) -> None:
        """Ends without a file."""
        self.close()
        self.path.unlink(missing_ok=True)
