"""The records of a health report: what was looked at, what was found in which rows, and what would cure it."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["drop", "deduplicate", "trim", "replace", "repair"]
"""What a step of a recipe does."""
Severity = Literal["note", "warning", "stops"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "stops")
Part = Literal["train", "validation"]
EXAMPLES = 20


def no_rows() -> npt.NDArray[np.int64]:
    """An empty list of rows."""
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Remedy:
    """The step of a recipe that would cure a finding; see recipe.py for the kinds and what `params` hold."""

    kind: Kind
    params: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """One row of a finding: a short excerpt as it stands in the data, and why the row is listed."""

    row: int
    excerpt: str
    reason: str


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that is wrong with some rows of one part."""

    check: str
    """Name of the check in the catalog."""
    name: str
    """Unique in a report; names the file of its rows, `health/<name>.npy`."""
    severity: Severity
    part: Part
    what: str
    """A sentence with the number."""
    why: str
    """Why it matters."""
    fix: str
    """How to put it right, in words."""
    count: int
    """Rows that are wrong, one for each of `rows`; 0 for a finding on all rows together, such as one-sided labels."""
    share: float
    """Share of the conversations of the part that the finding speaks of, in [0, 1]."""
    examples: tuple[Example, ...] = ()
    """The first EXAMPLES rows, or those that show the matter best."""
    remedy: Remedy | None = None
    rows: npt.NDArray[np.int64] = field(default_factory=no_rows, repr=False)
    """All rows that the remedy is for, ascending; they count from 0 in the file of the part."""


@dataclass(frozen=True)
class Checked:
    """One check of the catalog and how it went; a check that found nothing has passed."""

    check: str
    title: str
    looked_at: int
    """Conversations of both parts."""
    findings: int
    words: str
    """What was looked for and in how many rows, a sentence."""


def slot(check: str, kind: str, part: Part) -> str:
    """The name of a finding: of its check, of what kind (may be empty), in which part."""
    return "-".join(word for word in (check, kind, part) if word)


def rows_in_words(count: int) -> str:
    """ "1 row", "1,234 rows"."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """ "12.3 %", "below 0.1 %", "100 %"."""
    if 0 < share < 0.001:
        return "below 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
