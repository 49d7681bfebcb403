"""Which rows are nearly the same, so that the split keeps them on one side."""

import numpy as np
import numpy.typing as npt

from llm_studio.config import DatasetSettings
from llm_studio.data.conversations import conversations_of
from llm_studio.data.dataset import Table
from llm_studio.data.near import clusters, find_pairs
from llm_studio.data.reading.progress import Report
from llm_studio.data.types import Problem

MOST_ROWS = 200_000
"""With "automatic" more rows than this are not compared: a million take minutes."""
LARGEST_SHARE = 0.5
"""A cluster with a larger share of the rows is a form rather than repetition; it would leave nothing to hold out."""


def near_groups(
    table: Table, settings: DatasetSettings, usable: npt.NDArray[np.bool_], report: Report
) -> tuple[npt.NDArray[np.uint64] | None, tuple[Problem, ...]]:
    """[rows] the same number for rows that are nearly the same, 0 for a row that is like no other; and what to say.

    None when they were not looked for.
    """
    rows = np.flatnonzero(usable)
    if settings.near_duplicates == "never":
        return None, ()
    if settings.near_duplicates == "automatic" and len(rows) > MOST_ROWS:
        what = f"Near-duplicates were not looked for, since there are more than {MOST_ROWS:,} rows."
        return None, (Problem("note", what, "Choose “always” for near-duplicates to keep them on one side."),)
    texts = (
        "\n".join(message.text for message in conversation.messages)
        for conversation in conversations_of(table, rows.tolist(), settings)
    )
    pairs = find_pairs(texts, tell=report)
    labels = clusters(pairs, len(rows))
    sizes = np.bincount(labels, minlength=len(rows))
    crowded = np.flatnonzero(sizes > LARGEST_SHARE * len(rows))
    together = (sizes[labels] > 1) & ~np.isin(labels, crowded)
    groups = np.zeros(len(usable), dtype=np.uint64)
    groups[rows[together]] = labels[together].astype(np.uint64) + 1
    if not len(crowded):
        return groups, ()
    count = int(sizes[crowded[0]])
    what = (
        f"{count:,} of {len(rows):,} rows are nearly the same, as if filled into one form, and stand on both sides: "
        "scores will look better than they are for rows of another form."
    )
    return groups, (
        Problem("warning", what, "Bring validation rows of another kind, or more varied data.", count=count),
    )
