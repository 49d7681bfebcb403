"""Rows of chat-like lengths, the same for every contestant.

Lengths are log-normal with a median of 250 tokens and sigma 0.9 (mean about 375, one row in 20 above 1,100), cut to 16
up to the longest sequence. The answer, which is learned, is a share of each row drawn evenly from 30 to 80 %. Tokens
are random: what a step costs does not depend on them.
"""

from collections.abc import Sequence

import numpy as np

from llm_studio.tokens.sample import IGNORE_INDEX, Sample

MEDIAN, SIGMA, SHORTEST = 250, 0.9, 16
ANSWERS = (0.3, 0.8)
FIRST_TOKEN = 4


def make_rows(count: int, *, longest: int, vocabulary: int, seed: int = 0) -> list[Sample]:
    """So many rows; the same ones for the same arguments."""
    drawn = np.random.default_rng(seed)
    scale = longest / 4096
    lengths = np.clip(drawn.lognormal(np.log(MEDIAN * scale), SIGMA, count), max(4, SHORTEST * scale), longest)
    rows = []
    for number, length in enumerate(lengths.astype(int)):
        ids = tuple(map(int, drawn.integers(FIRST_TOKEN, vocabulary, length)))
        asked = max(1, length - int(length * drawn.uniform(*ANSWERS)))
        labels = (IGNORE_INDEX,) * asked + ids[asked:]
        rows.append(Sample(number, ids, labels, labels))
    return rows


def packs(rows: Sequence[Sample], longest: int) -> list[list[Sample]]:
    """The rows in order, as many together as fit into `longest` tokens; the last, unfilled pack is left out."""
    made: list[list[Sample]] = [[]]
    tokens = 0
    for row in rows:
        if made[-1] and tokens + len(row.input_ids) > longest:
            made.append([])
            tokens = 0
        made[-1].append(row)
        tokens += len(row.input_ids)
    return made[:-1]
