"""A hash for each row of a table, by which rows that are equal in some columns are found without comparing them."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from llm_studio.data.dataset import Table
from llm_studio.data.normal_text import Hashes, value_hashes

THREADS = 2
FEW = 0.1
"""Above this share of the rows it is quicker to hash all of them than to take single ones."""
MIX = np.uint64(0x9E3779B97F4A7C15)


def row_hashes(table: Table, columns: list[str]) -> Hashes:
    """[rows] 64 bits of the values of some columns, in this order; a missing value is not an empty text."""
    pieces = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="hash") as pool:
        waiting: deque[Future[Hashes]] = deque()
        for batch in table.batches(columns):
            waiting.append(pool.submit(block_hashes, batch.select(columns)))
            if len(waiting) > 2 * THREADS:
                pieces.append(waiting.popleft().result())
        pieces += [future.result() for future in waiting]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.uint64)


def repeated_rows(table: Table, prompts: Hashes) -> int:
    """Number of rows that repeat an earlier one in every column.

    prompts: [rows] hashes that are equal for equal rows; so only rows that share theirs with another are looked at.
    """
    _, inverse, counts = np.unique(prompts, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(counts[inverse] > 1)
    if len(alike) > FEW * len(prompts):
        hashes = row_hashes(table, list(table.columns))
        return len(hashes) - len(np.unique(hashes))
    rows = [tuple(cells.values()) for _, cells in table.take(alike.tolist())]
    return len(rows) - len(set(rows))


def block_hashes(batch: pa.RecordBatch) -> Hashes:
    """[rows] the same for a block."""
    found = np.zeros(batch.num_rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in batch.columns:
            found = (found ^ value_hashes(column)) * MIX
            found ^= found >> np.uint64(29)
    return found
