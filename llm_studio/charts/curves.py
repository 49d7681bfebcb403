"""The rows of charts.db as columns, kept up to date by reading only what is new."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_studio.charts.spec import Number
from llm_studio.store.charts_db import FILE, ChartsDb

STEP_VALUES = ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_bytes")
EVALUATION_VALUES = ("validation_loss", "perplexity", "bleu", "exact_match", "gpt")
KEPT = 64  # experiments whose rows stay in memory


@dataclass
class Table:
    """Rows as columns, ordered by step: `steps[i]` belongs to `columns[name][i]`."""

    names: tuple[str, ...]
    steps: list[int] = field(default_factory=list)
    columns: dict[str, list[Number]] = field(default_factory=dict)
    rewritten: int = 0

    def __post_init__(self) -> None:
        self.columns = {name: [] for name in self.names}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row. One that is not later than the last takes the place of all from its step on: an experiment that
        goes on from a checkpoint writes some steps again.
        """
        step = row.get("step")
        if not isinstance(step, int | float):
            return
        while self.steps and self.steps[-1] >= step:
            self.rewritten += 1
            self.steps.pop()
            for column in self.columns.values():
                column.pop()
        self.steps.append(int(step))
        for name, column in self.columns.items():
            value = row.get(name)
            column.append(value if isinstance(value, int | float) and not isinstance(value, bool) else None)

    def copy(self) -> "Table":
        """The same rows in lists of their own."""
        made = Table(self.names, list(self.steps))
        made.columns = {name: list(column) for name, column in self.columns.items()}
        return made


@dataclass(frozen=True)
class Curves:
    """Everything that the charts of one experiment need.

    key: changes when rows that were read already are written anew. last: the sequence number of the newest row.
    """

    key: str
    last: int
    steps: Table
    evaluations: Table
    checkpoints: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    phase: str = ""
    epoch: float | None = None
    forecast: Mapping[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """True while nothing has been measured."""
        return not self.steps.steps and not self.evaluations.steps


class _Follower:
    """Reads one charts.db as it grows."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._charts = ChartsDb(folder)
        self._lock = threading.Lock()
        self._begin(0)

    def _begin(self, inode: int) -> None:
        self._inode = inode
        self._last = 0
        self._steps = Table(STEP_VALUES)
        self._evaluations = Table(EVALUATION_VALUES)
        self._checkpoints: list[tuple[int, str]] = []
        self._notes: list[str] = []
        self._phase = ""
        self._epoch: float | None = None
        self._forecast: Mapping[str, Any] | None = None
        self._curves: Curves | None = None

    def read(self) -> Curves:
        with self._lock:
            try:
                inode = self._path.stat().st_ino
            except FileNotFoundError:
                inode = 0
            if inode != self._inode:  # it began anew
                self._begin(inode)
            new = self._charts.read(after=self._last) if inode else []
            for sequence, kind, row in new:
                self._last = sequence
                self._take(kind, row)
            if new or self._curves is None:
                self._curves = Curves(
                    key=f"{self._path}:{self._inode}:{self._steps.rewritten}",
                    last=self._last,
                    steps=self._steps.copy(),
                    evaluations=self._evaluations.copy(),
                    checkpoints=tuple(self._checkpoints),
                    notes=tuple(self._notes),
                    phase=self._phase,
                    epoch=self._epoch,
                    forecast=self._forecast,
                )
            return self._curves

    def _take(self, kind: str, row: Mapping[str, Any]) -> None:
        if kind == "step":
            self._steps.add(row)
            epoch = row.get("epoch")
            self._epoch = float(epoch) if isinstance(epoch, int | float) else self._epoch
        elif kind == "evaluation":
            self._evaluations.add(row)
        elif kind == "checkpoint":
            self._checkpoints.append((int(row.get("step") or 0), str(row.get("reason", ""))))
        elif kind == "forecast":
            self._forecast = row
        elif kind == "phase":
            self._phase = str(row.get("text", ""))
        elif kind == "note":
            self._notes.append(str(row.get("text", "")))


_followers: OrderedDict[Path, _Follower] = OrderedDict()
_lock = threading.Lock()


def read_curves(folder: Path) -> Curves:
    """What the experiment in `folder` has measured so far; empty when it has not begun."""
    with _lock:
        follower = _followers.pop(folder, None) or _Follower(folder)
        _followers[folder] = follower
        while len(_followers) > KEPT:
            _followers.popitem(last=False)
    return follower.read()


def forget_curves(folder: Path) -> None:
    """Let go of a deleted experiment's rows."""
    with _lock:
        _followers.pop(folder, None)
