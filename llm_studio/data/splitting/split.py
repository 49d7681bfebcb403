"""Which rows are held out to score an experiment: whole groups of rows that belong together, always the same ones."""

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from llm_studio.config import DatasetSettings
from llm_studio.errors import UserError

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


class Use(IntEnum):
    """What a row is for; one byte per row in split.npy."""

    LEFT_OUT = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3


NAMES = {
    "train": Use.TRAIN,
    "training": Use.TRAIN,
    "validation": Use.VALIDATION,
    "valid": Use.VALIDATION,
    "val": Use.VALIDATION,
    "dev": Use.VALIDATION,
    "eval": Use.VALIDATION,
    "test": Use.TEST,
}
"""Values of a column that says itself which part a row belongs to; an empty one is for training."""
SEED = 0x5EED_1A7E_57D1_0001
SAMPLE_SEED = 7331
FEWEST_SAMPLED_ROWS = 10
ROUGH_BELOW = 50
"""Scores on fewer validation rows than this are rough: one row is more than 2 % of exact match."""


def automatic_size(rows: int) -> int:
    """10 % of the rows, but at most 200 (more costs time and tells little) and at least 50 or 20 %, the smaller."""
    return max(1, min(200, max(round(0.1 * rows), min(50, round(0.2 * rows)))))


def wanted_size(size: float, rows: int) -> int:
    """Rows that a size asks for: 0 automatic, below 1 a share, from 1 on a number of rows; at least 1."""
    if size == 0:
        return automatic_size(rows)
    return max(1, math.floor(size * rows + 0.5) if size < 1 else int(size))


def mixed(hashes: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """A number per hash that looks random and depends on nothing else (splitmix64)."""
    with np.errstate(over="ignore"):
        z = hashes + np.uint64(seed & (2**64 - 1))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def joined(labelings: Sequence[npt.NDArray[np.uint64]]) -> Rows:
    """[rows] one group number per row: rows that are equal in any labeling are together; 0 in a labeling means alone.

    Every labeling: [rows]. The smallest row number spreads over each group until nothing changes.
    """
    count = len(labelings[0])
    groups = np.arange(count, dtype=np.int64)
    members: list[tuple[Rows, Rows]] = []
    for labels in labelings:
        rows = np.flatnonzero(labels)
        if len(rows):
            members.append((rows, np.unique(labels[rows], return_inverse=True)[1].astype(np.int64)))
    while True:
        before = groups.copy()
        for rows, inverse in members:
            least = np.full(int(inverse.max()) + 1, count, dtype=np.int64)
            np.minimum.at(least, inverse, groups[rows])
            groups[rows] = least[inverse]
        groups = groups[groups]
        if np.array_equal(groups, before):
            return groups


def split_rows(
    prompts: npt.NDArray[np.uint64],
    usable: npt.NDArray[np.bool_],
    settings: DatasetSettings,
    *,
    groups: Sequence[npt.NDArray[np.uint64]] = (),
    strata: npt.NDArray[np.int64] | None = None,
) -> Codes:
    """[rows] the part of every row. `prompts`, `usable`, each of `groups` and `strata`: [rows].

    Whole groups (equal prompts, and rows that are equal in one of `groups`) are taken in an order that depends on
    their prompts and the seed alone, until the wanted number is reached; one that would overshoot is passed over. So
    a row stays on its side when other rows come or go. With strata each gets its share of the held-out rows.

    Raises:
        UserError: fewer than two groups, or no row would be left to learn from.
    """
    rows = np.flatnonzero(usable)
    wanted = wanted_size(settings.validation_size, len(rows))
    wanted_test = wanted_size(settings.test_size, len(rows)) if settings.test_size else 0
    if wanted + wanted_test >= len(rows):
        raise UserError(
            f"{wanted + wanted_test:,} rows are to be held out, and only {len(rows):,} rows can be used.",
            where="Rows to hold out",
            fix="Hold out fewer rows.",
        )
    same_prompt = np.unique(prompts[rows], return_inverse=True)[1].astype(np.uint64) + np.uint64(1)
    together = joined([same_prompt, *(labels[rows] for labels in groups)])
    first, inverse, sizes = np.unique(together, return_inverse=True, return_counts=True)
    needed = 3 if wanted_test else 2
    if len(first) < needed:
        raise one_group(len(np.unique(prompts[rows])) < needed)
    keys = np.full(len(first), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(keys, inverse, prompts[rows])
    order = np.argsort(mixed(keys, SEED + settings.split_seed), kind="stable")
    layers = np.zeros(len(first), dtype=np.int64) if strata is None else strata[rows[first]]
    parts = np.full(len(first), Use.TRAIN, dtype=np.uint8)
    for part, count in ((Use.VALIDATION, wanted), (Use.TEST, wanted_test)):
        if count:
            free = order[parts[order] == Use.TRAIN]
            parts[held_out(free, sizes, layers, count)] = part
    if not (parts == Use.TRAIN).any():
        parts[order[-1]] = Use.TRAIN
    codes = np.zeros(len(prompts), dtype=np.uint8)
    codes[rows] = parts[inverse]
    return codes


def one_group(same_prompt: bool) -> UserError:
    """The error for rows that all belong together."""
    if same_prompt:
        what = "All rows have the same prompt, so none can be held out that the model has not seen."
        fix = "Choose other prompt columns, or bring a validation file of your own."
        return UserError(what, where="Prompt column", fix=fix)
    return UserError(
        "All rows belong to one group, so none can be held out that the model has not seen.",
        where="Keep together by",
        fix="Choose another column to keep rows together by, or none.",
    )


def held_out(order: Rows, sizes: Rows, layers: Rows, wanted: int) -> Rows:
    """Groups that make up `wanted` rows or a little less, each layer with its share; never none, never all.

    order: groups in the order in which they are taken. sizes, layers: [groups].
    """
    total = int(sizes[order].sum())
    kinds = np.unique(layers[order])
    chosen: list[int] = []
    taken = 0
    if len(kinds) > 1:
        for kind in kinds:
            here = order[layers[order] == kind]
            quota = int(wanted * int(sizes[here].sum()) / total)
            found, count = fill(here, sizes, quota)
            chosen += found
            taken += count
    left = order[~np.isin(order, chosen)] if chosen else order
    chosen += fill(left, sizes, wanted - taken)[0]
    if not chosen:
        chosen = [int(min(order, key=lambda group: sizes[group]))]
    return np.array(chosen, dtype=np.int64)


def fill(order: Rows, sizes: Rows, wanted: int) -> tuple[list[int], int]:
    """The first groups that fit into `wanted` rows, and how many rows they have."""
    chosen, taken = [], 0
    for group in order.tolist():
        if taken >= wanted:
            break
        if taken + sizes[group] <= wanted:
            chosen.append(group)
            taken += int(sizes[group])
    return chosen, taken


def by_column(values: Sequence[str | None], usable: npt.NDArray[np.bool_], column: str) -> Codes:
    """[rows] the part that a column names; rows without a value are for training.

    Raises:
        UserError: a value that names no part, or no row for training or validation.
    """
    codes = np.zeros(len(values), dtype=np.uint8)
    for row, value in enumerate(values):
        if usable[row]:
            name = (value or "train").strip().lower() or "train"
            if name not in NAMES:
                raise UserError(
                    f"The value “{value}” of column “{column}” names no part.",
                    where=f"column “{column}”, row {row + 1:,}",
                    fix="Use train, validation and test in this column, or let the studio choose the rows.",
                )
            codes[row] = NAMES[name]
    for part, word in ((Use.TRAIN, "train"), (Use.VALIDATION, "validation")):
        if not (codes == part).any():
            raise UserError(
                f"No usable row is marked “{word}” in column “{column}”.",
                where=f"column “{column}”",
                fix="Mark some rows so, choose another column, or let the studio choose the rows.",
            )
    return codes


def sampled(rows: Rows, share: float, part: int) -> Rows:
    """A share of the rows, at least FEWEST_SAMPLED_ROWS, the same at every call; `part` 0 train, 1 validation."""
    if share >= 1 or len(rows) <= FEWEST_SAMPLED_ROWS:
        return rows
    count = max(FEWEST_SAMPLED_ROWS, round(share * len(rows)))
    order = mixed(rows.astype(np.uint64), SAMPLE_SEED + part)
    return np.sort(rows[np.argsort(order, kind="stable")[:count]])
