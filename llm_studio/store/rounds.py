"""The rounds in which an experiment was trained: the first is its config's, each further one added epochs to the end.

They stand in a file of the experiment's folder, so that whoever starts its process next knows where it goes on.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "rounds.json"


@dataclass(frozen=True)
class Round:
    """More epochs. step, epoch: where it begins, counted over all rounds. epochs: that it adds."""

    step: int
    epoch: float
    epochs: int

    @property
    def end(self) -> float:
        """The epoch it ends with."""
        return self.epoch + self.epochs


def read_rounds(folder: Path) -> tuple[Round, ...]:
    """The rounds after the first, oldest first; none for an experiment that got no more epochs."""
    try:
        rows = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(Round(int(row["step"]), float(row["epoch"]), int(row["epochs"])) for row in rows)


def write_rounds(folder: Path, rounds: Sequence[Round]) -> None:
    """Written beside and renamed; no rounds, no file."""
    target = folder / FILE
    if not rounds:
        target.unlink(missing_ok=True)
        return
    beside = target.with_suffix(".part")
    beside.write_text(json.dumps([asdict(one) for one in rounds], indent=2) + "\n", encoding="utf-8")
    beside.replace(target)
