"""What a conversation becomes for the model: token ids, and which of them are learned."""

from dataclasses import dataclass
from typing import Literal

IGNORE_INDEX = -100
"""Label of a token that is read but not learned; what PyTorch's cross-entropy leaves out."""

Outcome = Literal["whole", "shortened", "cut", "dropped"]
"""What the length limit did to a row: nothing, took whole oldest turns, cut tokens off one end, left the row out."""
OUTCOMES: tuple[Outcome, ...] = ("whole", "shortened", "cut", "dropped")


@dataclass(frozen=True)
class Sample:
    """One conversation as tokens.

    input_ids: [T]. labels: [T], the token itself where it is learned, else IGNORE_INDEX; the first is never learned,
    since nothing stands before it. answer_labels: [T], the same for answers alone, whatever else the training learns.
    cut_tokens: how many tokens the length limit took away; outcome: how. A dropped row has no tokens (T = 0).
    """

    row: int
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    answer_labels: tuple[int, ...]
    cut_tokens: int = 0
    outcome: Outcome = "whole"

    @property
    def truncated(self) -> bool:
        """Whether the length limit took tokens away."""
        return self.cut_tokens > 0

    @property
    def learned_tokens(self) -> int:
        """How many tokens count in the loss."""
        return sum(label != IGNORE_INDEX for label in self.labels)
