"""Compares rates that were measured in turns: medians and ratios with their range, as text and as data."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """A median with the lowest and the highest of the values it is of."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """The median and range of at least one value.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours over theirs, turn by turn, so that what slows the machine for a while slows both.

    Raises:
        ValueError: not as many turns of one as of the other, or none.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} turns against {len(theirs)}: they did not alternate")
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def best(rates: Mapping[str, Sequence[float]], count: int) -> list[str]:
    """The names of the `count` highest medians, the highest first."""
    return sorted(rates, key=lambda name: -statistics.median(rates[name]))[:count]


def as_dict(one: Spread) -> dict[str, float]:
    """For the JSON, to four digits."""
    return {name: float(f"{value:.4g}") for name, value in asdict(one).items()}
