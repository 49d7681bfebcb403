"""How long the rows of a data set are as tokens, and what each limit would do to them, before anything starts."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from llm_studio.data.dataset import Dataset, Part
from llm_studio.data.types import Conversation
from llm_studio.tokens.encoding import conversation_blocks
from llm_studio.tokens.fingerprints import rendering_fingerprint
from llm_studio.tokens.template import Template
from llm_studio.tokens.truncation import Truncation
from llm_studio.tokens.turns import shorter

FILE = "lengths.npz"
PARTS: tuple[Part, ...] = ("train", "validation")
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenLengths:
    """Lengths with the chat template, in tokens; every array is [conversations], of both parts in the file's order.

    row counts from 0 in the table of its part; validation: 1 for rows that are held out, else 0. total: the whole
    conversation. learned: answers with their end of turn. prompt: everything else. answer_start, answer_end: places of
    the first learned token and behind the last one, so that answer_end is the shortest limit at which an answer that is
    cut at its end stays whole; both 0 without an answer. last: with the oldest turns gone, so the shortest limit at
    which "oldest_turns" keeps the row. turns: number of answers. document: 1 for one, of which it keeps the beginning.
    """

    row: Numbers
    validation: Numbers
    total: Numbers
    prompt: Numbers
    learned: Numbers
    answer_start: Numbers
    answer_end: Numbers
    last: Numbers
    turns: Numbers
    document: Numbers

    def __len__(self) -> int:
        return len(self.row)

    def of_part(self, part: Part) -> "TokenLengths":
        """Those of one part."""
        here = self.validation == (part == "validation")
        return TokenLengths(**{one.name: getattr(self, one.name)[here] for one in fields(self)})

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.part")
        with beside.open("wb") as file:
            np.savez(file, **{one.name: getattr(self, one.name) for one in fields(self)})
        beside.replace(path)


@dataclass(frozen=True)
class CurvePoint:
    """What one limit would do. rows_cut: rows that are longer than it. answers_cut: rows of which answer tokens are
    lost, with or without the rest; of rows with several answers that lose a turn, all count. dropped: rows left out.
    unlearned: rows that would learn nothing, by number in their part's table."""

    max_length: int
    rows_cut: int
    answers_cut: int
    dropped: int
    unlearned: tuple[int, ...]


def load_lengths(path: Path) -> TokenLengths | None:
    """The lengths in a file; None when it is not there or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return TokenLengths(**{one.name: stored[one.name] for one in fields(TokenLengths)})
    except (OSError, KeyError, ValueError, BadZipFile, EOFError):
        return None


def lengths_path(cache: Path, template: Template, dataset: Dataset) -> Path:
    """Where the lengths of a data set with a tokenizer and a template belong; the length limit does not count."""
    return cache / rendering_fingerprint(template, dataset.fingerprint, PARTS) / FILE


def token_lengths(
    cache: Path, template: Template, dataset: Dataset, tell: Callable[[int, int], None] = lambda done, total: None
) -> TokenLengths:
    """The lengths of both parts: from `cache` when they are there, else counted and put there.

    tell(rows done, rows in all) may raise Cancelled.

    Raises:
        UserError: the template refuses a row.
    """
    path = lengths_path(cache, template, dataset)
    if (known := load_lengths(path)) is not None:
        return known
    total = len(dataset.split.train) + len(dataset.split.validation)
    found: list[Numbers] = []
    done = 0
    for part in PARTS:
        for block in conversation_blocks(dataset.iter_conversations(part)):
            tell(done, total)
            found.append(measure(template, block, held_out=part == "validation"))
            done += len(block)
    table = np.concatenate([np.zeros((0, len(fields(TokenLengths))), np.int64), *found])
    lengths = TokenLengths(*(np.ascontiguousarray(column) for column in table.T))
    lengths.save(path)
    return lengths


def measure(template: Template, conversations: Sequence[Conversation], *, held_out: bool = False) -> Numbers:
    """The lengths of some conversations, [conversations, arrays of TokenLengths in their order]."""
    found = []
    for conversation, whole in zip(conversations, template.whole_many(conversations), strict=True):
        total = len(whole.ids)
        ranges = [(max(start, 1), end) for start, end in whole.answers if end > 1]  # the first token is never learned
        learned = sum(end - start for start, end in ranges)
        start, end = (ranges[0][0], ranges[-1][1]) if ranges else (0, 0)
        turns = sum(message.role == "assistant" for message in conversation.messages)
        row = (conversation.row, int(held_out), total, total - learned, learned, start, end, total, turns)
        found.append((*row, int(conversation.plain)))
    table = np.array(found, np.int64).reshape(len(found), len(fields(TokenLengths)))
    choices = [shorter(conversation.messages) for conversation in conversations]
    several = [index for index, choice in enumerate(choices) if choice]
    if several:
        shortest = template.ids_many([replace(conversations[index], messages=choices[index][-1]) for index in several])
        last = [one.name for one in fields(TokenLengths)].index("last")
        table[several, last] = [len(ids) for ids in shortest]
    return table


def truncation_curve(
    lengths: TokenLengths,
    at: Iterable[int],
    *,
    truncation: Truncation = "oldest_turns",
    side: Literal["left", "right"] = "left",
) -> list[CurvePoint]:
    """What each limit in `at` would do to the rows, under one way of truncation."""
    points = []
    for limit in at:
        long = lengths.total > limit
        dropped = np.zeros(len(lengths), bool)
        if truncation == "cut":
            begin = lengths.total - limit if side == "left" else np.zeros_like(lengths.total)
            end = begin + limit
            # The first kept token is not learned, since nothing stands before it.
            lost = (lengths.answer_start <= begin) if side == "left" else (lengths.answer_end > end)
            none = (lengths.answer_end <= begin + 1) if side == "left" else (lengths.answer_start >= end)
            answers = long & (lengths.learned > 0) & lost
            unlearned = (lengths.learned == 0) | (long & none)
        else:
            document = lengths.document == 1
            dropped = long if truncation == "drop" else (lengths.last > limit) & ~document
            answers = long & (lengths.learned > 0)
            if truncation == "oldest_turns":
                answers &= dropped | document | (lengths.turns > 1)
            unlearned = (lengths.learned == 0) | dropped
        points.append(
            CurvePoint(
                max_length=int(limit),
                rows_cut=int(long.sum()),
                answers_cut=int(answers.sum()),
                dropped=int(dropped.sum()),
                unlearned=tuple(lengths.row[unlearned].tolist()),
            )
        )
    return points
