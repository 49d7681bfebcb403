"""Which rows are held out to score an experiment: by group of equal prompts, always the same ones for the same rows."""

import math

import numpy as np
import numpy.typing as npt

from llm_studio.config import DatasetSettings
from llm_studio.errors import UserError

Rows = npt.NDArray[np.int64]
SEED = 0x5EED_1A7E_57D1_0001
SAMPLE_SEED = 7331
FEWEST_SAMPLED_ROWS = 10
ROUGH_BELOW = 50
"""Scores on fewer validation rows than this are rough: one row is more than 2 % of exact match."""


def automatic_size(rows: int) -> int:
    """10 % of the rows, but at most 200 (more costs time and tells little) and at least 50 or 20 %, the smaller."""
    return max(1, min(200, max(round(0.1 * rows), min(50, round(0.2 * rows)))))


def wanted_size(settings: DatasetSettings, rows: int) -> int:
    """Validation rows that the settings ask for: 0 automatic, below 1 a share, from 1 on a number of rows."""
    size = settings.validation_size
    if size == 0:
        return automatic_size(rows)
    wanted = math.floor(size * rows + 0.5) if size < 1 else int(size)
    return max(1, wanted)


def mixed(prompts: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """A number per prompt hash that looks random and depends on nothing else (splitmix64)."""
    with np.errstate(over="ignore"):
        z = prompts + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def split_rows(
    prompts: npt.NDArray[np.uint64], usable: npt.NDArray[np.bool_], settings: DatasetSettings
) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to hold out, ascending. `prompts` and `usable`: [rows].

    Groups of equal prompts are taken in an order that depends on the prompt alone, until the wanted number is reached;
    a group that would overshoot is passed over. So a row stays on its side when other rows come or go.

    Raises:
        UserError: fewer than two different prompts, or no row would be left to learn from.
    """
    rows = np.flatnonzero(usable)
    wanted = wanted_size(settings, len(rows))
    if wanted >= len(rows):
        raise UserError(
            f"{wanted:,} validation rows are asked for, and only {len(rows):,} rows can be used.",
            where="Validation size",
            fix="Hold out fewer rows.",
        )
    keys, inverse, sizes = np.unique(prompts[rows], return_inverse=True, return_counts=True)
    if len(keys) < 2:
        raise UserError(
            "All rows have the same prompt, so none can be held out that the model has not seen.",
            where="Prompt column",
            fix="Choose other prompt columns, or bring a validation file of your own.",
        )
    chosen = np.zeros(len(keys), dtype=np.bool_)
    taken = 0
    order = np.argsort(mixed(keys, SEED), kind="stable")
    for group in order:
        if taken + sizes[group] <= wanted:
            chosen[group] = True
            taken += int(sizes[group])
            if taken == wanted:
                break
    if taken == 0:
        smallest = min(order, key=lambda group: sizes[group])
        chosen[smallest] = True
    held_out = chosen[inverse]
    return rows[~held_out], rows[held_out]


def sampled(rows: Rows, share: float, part: int) -> Rows:
    """A share of the rows, at least FEWEST_SAMPLED_ROWS, the same at every call; `part` 0 train, 1 validation."""
    if share >= 1 or len(rows) <= FEWEST_SAMPLED_ROWS:
        return rows
    count = max(FEWEST_SAMPLED_ROWS, round(share * len(rows)))
    order = mixed(rows.astype(np.uint64), SAMPLE_SEED + part)
    return np.sort(rows[np.argsort(order, kind="stable")[:count]])
