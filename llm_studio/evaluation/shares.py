"""The rows of an evaluation, split over processes and put together again in their order."""

from collections.abc import Sequence

from llm_studio.evaluation.scoring import Question
from llm_studio.evaluation.types import Prediction


def share_of(questions: Sequence[Question], rank: int, world: int) -> list[Question]:
    """Those that process `rank` of `world` scores: every world-th one, so that each has some of every part."""
    return list(questions[rank::world])


def gathered(parts: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """The predictions of all processes, by rank, in the order of the questions."""
    found = sum(len(part) for part in parts)
    return [parts[row % len(parts)][row // len(parts)] for row in range(found)]
