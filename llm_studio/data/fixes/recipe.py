"""A fix is a recorded step: rows to drop, or an edit of text applied on the fly; the imported file never changes."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from llm_studio.data.fixes.edits import Edit, edit_of
from llm_studio.data.health.findings import Finding, Kind
from llm_studio.data.types import Cells
from llm_studio.errors import UserError

Rows = npt.NDArray[np.int64]
RECIPE = "recipe.json"
ROWS_FOLDER = "recipe"


@dataclass(frozen=True, eq=False)
class Step:
    """One fix. Kinds and what `params` hold:

    - "drop": {}; `rows` are not used any more.
    - "deduplicate": {"by": "exact"} or {"by": "near", "threshold": 0.8}; `rows` are all but the first of each cluster.
    - "trim": {"columns", "nested"}; outer white space is removed.
    - "repair": {"columns", "nested"}; broken encodings are mended by ftfy.
    - "replace": {"columns", "nested", "replacement"} and either "known" (a pattern of personal.py) or "find" with
      "regex" (true or false).

    "nested" names the columns that hold lists of messages as JSON; there only the texts of messages are edited.
    """

    kind: Kind
    params: dict[str, object]
    why: str
    """The reason in words, as the list of steps shows it."""
    rows_changed: int
    made_at: float
    """Seconds since 1970."""
    rows: Rows | None = field(default=None, repr=False)
    """Rows of rows.parquet that are dropped, ascending, counted from 0; None for an edit."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(
                f"There is no step {self.kind!r} in a recipe.",
                where="step",
                fix=f"Take one of: {', '.join(get_args(Kind))}.",
            )
        if self.drops != (self.rows is not None):
            raise UserError(
                f"A step {self.kind!r} {'needs' if self.drops else 'takes no'} rows.",
                where="step",
                fix="Make it again.",
            )
        if not self.drops:
            edit_of(self.kind, self.params)

    @property
    def drops(self) -> bool:
        """Whether the step takes rows away (else it edits text)."""
        return self.kind in ("drop", "deduplicate")

    @property
    def digest(self) -> bytes:
        """32 bytes that differ when the step does anything else to the rows; reason and time do not count."""
        found = hashlib.sha256(json.dumps([self.kind, self.params], sort_keys=True).encode())
        if self.rows is not None:
            found.update(np.ascontiguousarray(self.rows, dtype="<i8").tobytes())
        return found.digest()


class Recipe:
    """The steps of one data set, in the order in which they were made; written by `save`."""

    def __init__(self, folder: Path, steps: Sequence[Step] = ()) -> None:
        self.folder = folder
        self._steps = tuple(steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, the oldest first."""
        return self._steps

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The recipe in the folder of a data set; an empty one when there is none.

        Raises:
            UserError: the files of the recipe cannot be read.
        """
        path = folder / RECIPE
        if not path.is_file():
            return cls(folder)
        try:
            return cls(folder, [read_step(folder, stored) for stored in json.loads(path.read_text(encoding="utf-8"))])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The recipe of this data set cannot be read: {error}.",
                where=str(path),
                fix="Put the files back, or remove this one to work with the data as it was imported.",
            ) from None

    def add_step(self, step: Step) -> None:
        """One more step at the end."""
        self._become((*self._steps, step))

    def undo_last(self) -> Step:
        """Takes the newest step away and gives it.

        Raises:
            UserError: there is none.
        """
        return self.undo(len(self._steps) - 1)

    def undo(self, index: int) -> Step:
        """Takes one step away (0 is the oldest) and gives it; the others stay as they are.

        Raises:
            UserError: there is no such step.
        """
        if not 0 <= index < len(self._steps):
            raise UserError(
                f"There is no step {index + 1}; the recipe has {len(self._steps)}.",
                where="recipe",
                fix="Reload the page.",
            )
        gone = self._steps[index]
        self._become((*self._steps[:index], *self._steps[index + 1 :]))
        return gone

    def _become(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        for name in ("_edit_steps", "fingerprint"):
            self.__dict__.pop(name, None)

    def save(self) -> None:
        """Writes recipe.json in one step; files of rows are there before it names them, and unused ones go after."""
        folder = self.folder / ROWS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        free = 1 + max((int(file.stem) for file in folder.glob("*.npy") if file.stem.isdecimal()), default=0)
        stored, kept = [], set()
        for step in self._steps:
            name = ""
            if step.rows is not None:
                name = f"{free}.npy"
                free += 1
                np.save(folder / name, step.rows.astype(np.int64), allow_pickle=False)
                kept.add(name)
            stored.append(
                {
                    "kind": step.kind,
                    "params": step.params,
                    "why": step.why,
                    "rows_changed": step.rows_changed,
                    "made_at": step.made_at,
                    "rows": name,
                }
            )
        fresh = self.folder / f"{RECIPE}.new"
        fresh.write_text(json.dumps(stored, ensure_ascii=False, indent=1), encoding="utf-8")
        fresh.replace(self.folder / RECIPE)
        for file in folder.glob("*.npy"):
            if file.name not in kept:
                file.unlink(missing_ok=True)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all steps and their rows; "" for an empty recipe."""
        if not self._steps:
            return ""
        return hashlib.sha256(b"".join(step.digest for step in self._steps)).hexdigest()

    def dropped(self, row_count: int) -> npt.NDArray[np.bool_]:
        """[row_count] which rows of rows.parquet are not to be used; rows beyond the table are passed over."""
        mask = np.zeros(row_count, dtype=np.bool_)
        for step in self._steps:
            if step.rows is not None:
                mask[step.rows[(step.rows >= 0) & (step.rows < row_count)]] = True
        return mask

    @cached_property
    def _edit_steps(self) -> tuple[Edit, ...]:
        return tuple(edit_of(step.kind, step.params) for step in self._steps if not step.drops)

    @property
    def edits(self) -> bool:
        """Whether `edit` may change anything."""
        return bool(self._edit_steps)

    def edit(self, cells: Cells) -> Cells:
        """The row with the text steps applied in their order; the row itself when none changes it."""
        for one in self._edit_steps:
            cells = one(cells)
        return cells


def read_step(folder: Path, stored: dict[str, Any]) -> Step:
    """One step of recipe.json with its rows."""
    values = {name: value for name, value in stored.items() if name != "rows"}
    rows = (
        np.load(folder / ROWS_FOLDER / Path(str(stored["rows"])).name, allow_pickle=False) if stored["rows"] else None
    )
    return Step(**values, rows=rows)


def recipe_step_for(finding: Finding) -> Step:
    """The step that cures a finding.

    Raises:
        UserError: no step can cure it; the words of the finding say what can be done instead.
    """
    if finding.remedy is None:
        raise UserError(f"No step cures this: {finding.what}", where=finding.check, fix=finding.fix)
    kind = finding.remedy.kind
    rows = finding.rows if kind in ("drop", "deduplicate") else None
    return Step(kind, dict(finding.remedy.params), finding.what, finding.count, time.time(), rows)
