"""Scores of untouched backbones, kept for later experiments on the same rows: one folder for each set of answers."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_studio.store.home import Home

SCORES, ROWS = "scores.json", "predictions.parquet"


def find(home: Home, name: str, answers: int) -> Path | None:
    """The folder of the fewest answers that are enough; what has been scored before with more of them can be taken for
    fewer, since it is always the first rows that get one. None where there is none.

    name: of all that shapes a score. answers: wanted.
    """
    found = {}
    for folder in home.base_scores.glob(f"{name}-*") if name else ():
        kept = folder.name.rpartition("-")[2]
        if kept.isdigit() and int(kept) >= answers and (folder / SCORES).is_file() and (folder / ROWS).is_file():
            found[int(kept)] = folder
    return found[min(found)] if found else None


def keep(home: Home, name: str, answers: int, values: Mapping[str, Any], rows: Path) -> None:
    """rows: the file of predictions, which is copied. The scores come last, so that what is there is whole."""
    folder = home.base_scores / f"{name}-{answers}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(rows, folder / ROWS)
    beside = (folder / SCORES).with_suffix(".part")
    beside.write_text(json.dumps(values), encoding="utf-8")
    beside.replace(folder / SCORES)
