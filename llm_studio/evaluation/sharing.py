"""Shares the rows of an evaluation out to several processes, and puts what they found back in order."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def share_of(items: Sequence[Item], rank: int, processes: int) -> list[Item]:
    """Every `processes`-th item from `rank` on, so that rows with and without generated answers are shared evenly."""
    return list(items[rank::processes])


def gathered(parts: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of all processes, in rank order, as they were before `share_of`."""
    found: list[Item | None] = [None] * sum(map(len, parts))
    for rank, part in enumerate(parts):
        found[rank :: len(parts)] = part
    return [item for item in found if item is not None]
