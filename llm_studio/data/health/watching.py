"""What a check sees of each conversation, what it knows of the data set, and how it gathers rows into findings."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_studio.data.checking import normalised
from llm_studio.data.health.findings import (
    EXAMPLES,
    Example,
    Finding,
    Kind,
    Part,
    Remedy,
    Severity,
    percent,
    rows_in_words,
    slot,
)
from llm_studio.data.types import Message

Rows = npt.NDArray[np.int64]
Tell = Callable[[float, str], None]
Looked = Mapping[Part, int]
PARTS: tuple[Part, ...] = ("train", "validation")


@dataclass(frozen=True)
class Context:
    """What checks know of the data set before they see a conversation."""

    columns: tuple[str, ...]
    """Columns that the layout reads."""
    nested: tuple[str, ...]
    """Those of them that hold lists of messages."""
    own_file: bool
    """Whether the validation rows come from a file of their own, whose rows no recipe can drop."""
    expects_prompts: bool
    """False for plain text without a prompt column."""

    def can_drop(self, part: Part) -> bool:
        """Whether a recipe reaches the rows of a part."""
        return part == "train" or not self.own_file

    def edit(self, kind: Kind, **params: object) -> Remedy:
        """A text step over all columns that are read."""
        return Remedy(kind, {"columns": list(self.columns), "nested": list(self.nested), **params})


@dataclass(frozen=True)
class Seen:
    """One conversation; what several checks need is worked out once."""

    part: Part
    row: int
    messages: tuple[Message, ...]

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The texts that are learned."""
        return tuple(one.content for one in self.messages if one.learned)

    @cached_property
    def answer(self) -> str:
        """The first text that is learned; empty when there is none."""
        return self.answers[0] if self.answers else ""

    @cached_property
    def before(self) -> tuple[Message, ...]:
        """All messages before the first that is learned."""
        first = next((place for place, one in enumerate(self.messages) if one.learned), len(self.messages))
        return self.messages[:first]

    @cached_property
    def prompt(self) -> str:
        """What the user says before the first answer; a system text, often the same in all rows, is not part of it."""
        return "\n".join(one.content for one in self.before if one.role != "system")

    @cached_property
    def context_key(self) -> int:
        """Equal for the same messages (system text included) before the first answer."""
        return key(text for one in self.before for text in (one.role, one.content))

    @cached_property
    def prompt_key(self) -> int:
        """Equal for the same prompt; differs for rows without one."""
        return key([self.prompt]) if self.prompt.strip() else 0

    @cached_property
    def conversation_key(self) -> int:
        """Equal for conversations that differ in case and white space only."""
        return key(text for one in self.messages for text in (one.role, one.content))

    @cached_property
    def text(self) -> str:
        """All that user and assistant say."""
        return "\n".join(one.content for one in self.messages if one.role != "system")


def key(texts: Iterable[str]) -> int:
    """64 bits that are equal for texts equal but for case, white space and Unicode composition."""
    found = hashlib.blake2b("\0".join(map(normalised, texts)).encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(found, "little")


class Watch(Protocol):
    """One check at work: it looks at every conversation, train first, and says at the end what it found."""

    def look(self, seen: Seen) -> None:
        """One conversation."""

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """What is wrong; `looked` counts the conversations of each part. `tell` may raise Cancelled."""


class Keys:
    """Rows and one 64-bit key for each, by part."""

    def __init__(self) -> None:
        self._rows: dict[Part, array[int]] = {part: array("q") for part in PARTS}
        self._keys: dict[Part, array[int]] = {part: array("Q") for part in PARTS}

    def add(self, seen: Seen, value: int) -> None:
        """One row."""
        self._rows[seen.part].append(seen.row)
        self._keys[seen.part].append(value)

    def rows(self, part: Part) -> Rows:
        """[seen] row numbers."""
        return np.array(self._rows[part], dtype=np.int64)

    def keys(self, part: Part) -> npt.NDArray[np.uint64]:
        """[seen] keys."""
        return np.array(self._keys[part], dtype=np.uint64)


class Gathered:
    """Rows that one check lists in one part, with a reason for the first of them."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.reasons: list[str] = []

    def add(self, row: int, reason: str) -> None:
        """One row and why it is listed."""
        self.rows.append(row)
        if len(self.reasons) < EXAMPLES:
            self.reasons.append(reason)

    def examples(self) -> tuple[Example, ...]:
        """The first rows with their reasons; excerpts are added when the report is made."""
        return tuple(Example(row, "", reason) for row, reason in zip(self.rows, self.reasons, strict=False))


@dataclass(frozen=True)
class Words:
    """What a finding says; `what` completes "12 rows with …" ("an empty prompt")."""

    what: str
    why: str
    fix: str


def finding(
    check: str,
    part: Part,
    gathered: Gathered,
    looked: int,
    words: Words,
    *,
    severity: Severity = "warning",
    kind: str = "",
    remedy: Remedy | None = None,
) -> Finding:
    """A finding over the gathered rows; `kind` tells apart what one check finds."""
    count = len(gathered.rows)
    share = count / max(looked, 1)
    rows = np.sort(np.array(gathered.rows, dtype=np.int64))
    name = "training" if part == "train" else part
    return Finding(
        check=check,
        name=slot(check, kind, part),
        severity=severity,
        part=part,
        what=f"{rows_in_words(count)} with {words.what} ({percent(share)} of the {name} rows).",
        why=words.why,
        fix=words.fix,
        count=count,
        share=share,
        examples=gathered.examples(),
        remedy=remedy,
        rows=rows,
    )


def from_rows(rows: Rows, reason: Callable[[int], str]) -> Gathered:
    """Gathers rows that are known at once; the reason is asked for the first ones only."""
    made = Gathered()
    made.rows.extend(rows.tolist())
    made.reasons = [reason(int(row)) for row in rows[:EXAMPLES]]
    return made


def drop_if(context: Context, part: Part) -> Remedy | None:
    """The step that takes the rows away, where a recipe reaches them."""
    return Remedy("drop") if context.can_drop(part) else None


def within(tell: Tell, start: float, width: float) -> Tell:
    """Tells the share of one part of the work as a share of the whole."""
    return lambda share, words: tell(start + share * width, words)
