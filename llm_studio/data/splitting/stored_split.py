"""The split of a data set on disk: one byte per row, memory-mapped, and a small file with counts and fingerprint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from llm_studio.data.splitting.split import Codes, Rows, Use

Part = Literal["train", "validation", "test"]
SPLIT = "split.json"
CODES = "split.npy"
OWN_CODES = "validation_split.npy"
ROWS = "rows.parquet"
OWN_ROWS = "validation.parquet"


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are learned from and which are held out; rows count from 0.

    codes: [rows] one `Use` each. own: the same for validation.parquet, where the user brought
    a validation file; then `validation` counts in there.
    """

    codes: Codes
    own: Codes | None
    fingerprint: str

    @property
    def own_file(self) -> bool:
        """Whether the validation rows come from a file of their own."""
        return self.own is not None

    @cached_property
    def train(self) -> Rows:
        """Rows to learn from, ascending."""
        return np.flatnonzero(self.codes == Use.TRAIN)

    @cached_property
    def validation(self) -> Rows:
        """Rows that every evaluation is scored on, ascending."""
        return np.flatnonzero((self.codes if self.own is None else self.own) == Use.VALIDATION)

    @cached_property
    def test(self) -> Rows:
        """Rows that nothing in the studio looks at while an experiment is tuned, ascending."""
        return np.flatnonzero(self.codes == Use.TEST)

    @cached_property
    def left_out(self) -> Rows:
        """Rows that no experiment reads, ascending."""
        return np.flatnonzero(self.codes == Use.LEFT_OUT)

    def rows(self, part: Part) -> Rows:
        """The rows of a part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def load_split(folder: Path) -> Split:
    """The split of a data set; memory-mapped, so that a page that needs one row does not read a million."""
    facts = json.loads((folder / SPLIT).read_text(encoding="utf-8"))
    if isinstance(facts["train"], list):
        return listed_split(folder, facts)
    own = np.load(folder / OWN_CODES, mmap_mode="r") if facts["own_file"] else None
    return Split(np.load(folder / CODES, mmap_mode="r"), own, facts["fingerprint"])


def listed_split(folder: Path, facts: Mapping[str, Any]) -> Split:
    """The split of a data set that was imported when row numbers stood in split.json."""
    own = np.zeros(row_count(folder / OWN_ROWS), dtype=np.uint8) if facts["own_file"] else None
    codes = np.zeros(row_count(folder / ROWS), dtype=np.uint8)
    codes[facts["train"]] = Use.TRAIN
    (codes if own is None else own)[facts["validation"]] = Use.VALIDATION
    return Split(codes, own, facts["fingerprint"])


def save_split(folder: Path, split: Split, *, repeated_rows: int) -> None:
    """Writes the split and what was counted on the way; split.json comes last and makes it valid."""
    for name, codes in ((CODES, split.codes), (OWN_CODES, split.own)):
        if codes is None:
            (folder / name).unlink(missing_ok=True)
            continue
        fresh = folder / f"new-{name}"
        np.save(fresh, codes)
        fresh.replace(folder / name)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    counts: dict[str, object] = {part: len(split.rows(part)) for part in parts}
    counts |= {
        "repeated_rows": repeated_rows,
        "left_out": len(split.left_out),
        "fingerprint": split.fingerprint,
        "own_file": split.own_file,
    }
    write_json(folder / SPLIT, counts)


def row_count(path: Path) -> int:
    """Rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def write_json(path: Path, value: object) -> None:
    """Replaces a file in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    fresh.replace(path)
