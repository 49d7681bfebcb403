"""Shares the rows of an optimiser step out to processes and micro-batches; the step's loss does not depend on it."""

import heapq
import itertools
import math
from collections.abc import Sequence


def partition(
    lengths: Sequence[int], *, most_rows: int, most_tokens: int | None = None, processes: int = 1, packed: bool
) -> list[list[list[int]]]:
    """places[process][micro-batch] = numbers of rows, in [0, len(lengths)).

    Every process gets the same number of micro-batches, as few as `most_rows` in each allow; some may stay empty.
    Packed ones hold `most_tokens` on average at most, where rows are not longer.
    Packed rows cost what they hold, so they are balanced by tokens: the longest first, each to the emptiest micro-batch
    (Graham 1969). Padded rows cost what the longest beside them holds, so rows of like length go together.
    """
    each = max(1, math.ceil(len(lengths) / (most_rows * processes)))
    if packed and most_tokens is not None:
        each = max(each, math.ceil(min(sum(lengths) / most_tokens, len(lengths)) / processes))
    bins = processes * each
    longest_first = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    filled = _balanced(lengths, longest_first, bins, most_rows) if packed else _alike(longest_first, bins)
    return [filled[process::processes] for process in range(processes)]


def _balanced(lengths: Sequence[int], order: Sequence[int], bins: int, most_rows: int) -> list[list[int]]:
    filled: list[list[int]] = [[] for _ in range(bins)]
    emptiest = [(0, number) for number in range(bins)]
    for row in order:
        tokens, number = heapq.heappop(emptiest)
        filled[number].append(row)
        if len(filled[number]) < most_rows:
            heapq.heappush(emptiest, (tokens + lengths[row], number))
    return filled


def _alike(order: Sequence[int], bins: int) -> list[list[int]]:
    size, more = divmod(len(order), bins)
    starts = [number * size + min(number, more) for number in range(bins + 1)]
    return [list(order[begin:end]) for begin, end in itertools.pairwise(starts)]
