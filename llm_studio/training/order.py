"""Which rows an optimiser step takes: a function of seed and step alone, so that a training resumes exactly."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class RowOrder:
    """Each epoch takes all rows once, in an order of its own; the last step of an epoch takes what is left.

    rows: in all, >= 0. rows_per_step: of one optimiser step, over all its micro-batches and processes.
    """

    rows: int
    rows_per_step: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass."""
        return math.ceil(self.rows / self.rows_per_step)

    def of(self, step: int) -> list[int]:
        """Numbers of the rows of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = _permutation(self.rows, self.seed, epoch)
        return list(map(int, order[place * self.rows_per_step : (place + 1) * self.rows_per_step]))


@lru_cache(maxsize=2)
def _permutation(rows: int, seed: int, epoch: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.random.default_rng((seed, epoch)).permutation(rows)
