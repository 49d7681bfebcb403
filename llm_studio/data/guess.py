"""Proposes layout and columns of a table, with the reason in words; the user may choose otherwise."""

from collections.abc import Sequence

from llm_studio.data.layouts import all_layouts
from llm_studio.data.types import Cells, Column, Guess

SAMPLE_ROWS = 50


def guess_layout(columns: Sequence[Column], rows: Sequence[Cells]) -> Guess:
    """The most certain proposal of all layouts; with none, the instruction layout with nothing chosen."""
    proposals = [found for layout in all_layouts() if (found := layout.guess(columns, rows)) is not None]
    if not proposals:
        names = ", ".join(f"“{column.name}”" for column in columns[:8])
        reason = f"No column of {names} holds text that could be an answer. Choose the columns yourself."
        return Guess("instruction", {"layout": "instruction"}, reason, 0.0)
    return max(proposals, key=lambda proposal: proposal.certainty)
