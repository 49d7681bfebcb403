"""The contract for rows that are longer than the limit: what is kept, what goes, and that it is counted and said."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llm_studio.data.types import Conversation
from llm_studio.errors import UserError
from llm_studio.tokens.sample import IGNORE_INDEX, OUTCOMES, Outcome, Sample
from llm_studio.tokens.turns import shorter

Truncation = Literal["drop", "oldest_turns", "cut"]
Range = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens, however many: ids [T], and the ranges of token numbers that are answers, in order."""

    ids: tuple[int, ...]
    answers: tuple[Range, ...]


@dataclass(frozen=True)
class Limit:
    """How long a row may be and what happens to a longer one.

    keep_rows: a row that would be dropped is cut at its beginning instead; so is everything that is only scored, since
    experiments can be compared on the same rows alone. learn_prompts: every token but the first is learned.
    """

    max_length: int
    truncation: Truncation
    side: Literal["left", "right"]
    learn_prompts: bool
    keep_rows: bool = False

    def fit(self, conversation: Conversation, whole: Encoded, encode: Callable[[Conversation], Encoded]) -> Sample:
        """The row within the limit; `encode` makes tokens of what is left of the conversation."""
        if len(whole.ids) <= self.max_length:
            return self._sample(conversation.row, whole)
        if self.truncation == "cut":
            return self._cut(conversation.row, whole, self.side, len(whole.ids))
        if self.truncation == "oldest_turns" and conversation.plain:  # a document has no turns; its beginning is kept
            return self._cut(conversation.row, whole, "right", len(whole.ids))
        kept = whole
        if self.truncation == "oldest_turns":
            kept = self._without_oldest_turns(conversation, whole, encode)
            if len(kept.ids) <= self.max_length:
                gone = len(whole.ids) - len(kept.ids)
                return replace(self._sample(conversation.row, kept), cut_tokens=gone, outcome="shortened")
        if self.keep_rows:
            return self._cut(conversation.row, kept, "left", len(whole.ids))
        return Sample(conversation.row, (), (), (), cut_tokens=len(whole.ids), outcome="dropped")

    def _without_oldest_turns(
        self, conversation: Conversation, whole: Encoded, encode: Callable[[Conversation], Encoded]
    ) -> Encoded:
        """With as many turns as fit; with the last alone when even that is too long. Halves the choices each time."""
        choices = shorter(conversation.messages)
        if not choices:
            return whole
        low, high = 0, len(choices) - 1
        while low < high:
            middle = (low + high) // 2
            if len(encode(replace(conversation, messages=choices[middle])).ids) <= self.max_length:
                high = middle
            else:
                low = middle + 1
        return encode(replace(conversation, messages=choices[low]))

    def _cut(self, row: int, encoded: Encoded, side: str, total: int) -> Sample:
        begin = len(encoded.ids) - self.max_length if side == "left" else 0
        end = begin + self.max_length
        ranges = [(max(start, begin) - begin, min(stop, end) - begin) for start, stop in encoded.answers]
        kept = Encoded(encoded.ids[begin:end], tuple((start, stop) for start, stop in ranges if stop > start))
        return replace(self._sample(row, kept), cut_tokens=total - self.max_length, outcome="cut")

    def _sample(self, row: int, encoded: Encoded) -> Sample:
        answers = labels_of(encoded)
        labels = (IGNORE_INDEX, *encoded.ids[1:]) if self.learn_prompts and encoded.ids else answers
        return Sample(row, encoded.ids, labels, answers)


def labels_of(encoded: Encoded) -> tuple[int, ...]:
    """Labels [T]: the token itself in the ranges, else IGNORE_INDEX; never the first."""
    labels: tuple[int, ...] = ()
    for start, end in encoded.answers:
        start = max(start, 1)
        labels += (IGNORE_INDEX,) * (start - len(labels)) + encoded.ids[start:end]
    return labels + (IGNORE_INDEX,) * (len(encoded.ids) - len(labels))


@dataclass(frozen=True)
class Counts:
    """What the length limit did to the rows of one part. Each row is counted once, as its outcome; unlearned: those of
    them that are not dropped and have no learned token left. Rows count from 0."""

    rows: int
    shortened: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    unlearned: tuple[int, ...] = ()
    tokens: int = 0
    learned_tokens: int = 0

    def sentences(self, max_length: int) -> list[str]:
        """What happened, one sentence each; none when every row is whole and has something to learn."""
        long = f"longer than {max_length:,} tokens (tokenizer.max_length)"
        return _said(
            ("Learned without their oldest turns", self.shortened, "row", long),
            ("Cut", self.cut, "row", long),
            ("Left out", self.dropped, "row", long),
            ("Left out", self.unlearned, "row", "with nothing to learn: no answer, or all of it cut away"),
        )

    def scoring_sentences(self, max_length: int) -> list[str]:
        """The same for rows that are only scored, of which none is left out."""
        long = f"longer than {max_length:,} tokens; no row is left out, so that experiments are scored on the same ones"
        return _said(
            ("Without their oldest turns are scored", self.shortened, "validation row", long),
            ("Cut at their beginning are scored", self.cut, "validation row", long),
        )

    def refuse_nothing(self, max_length: int, truncation: Truncation) -> None:
        """Refuse to train when no row has anything to learn.

        Raises:
            UserError: it names the settings to change.
        """
        if len(self.dropped) + len(self.unlearned) < self.rows:
            return
        long = len(self.dropped) + len(set(self.cut) & set(self.unlearned))
        why = (
            f"{long:,} of {self.rows:,} rows are longer than {max_length:,} tokens" if long else "all answers are empty"
        )
        other = "left" if truncation == "cut" else ""
        fix = "Raise tokenizer.max_length" + (
            f", or set tokenizer.truncation_side to {other}, which keeps the answers."
            if other
            else ", or set tokenizer.truncation to cut."
        )
        raise UserError(
            f"No row has anything to learn: {why}.",
            where="tokenizer.max_length" if long else "data set",
            fix=fix if long else "Check the answer column, dataset.only_last_answer and dataset.mask_prompt_labels.",
        )


def counted(rows: Iterable[tuple[int, Outcome, int, int]]) -> Counts:
    """The counts of rows given as row number, outcome, tokens, learned tokens."""
    found: dict[str, list[int]] = {outcome: [] for outcome in OUTCOMES}
    unlearned = []
    all_tokens = all_learned = 0
    for row, outcome, tokens, learned in rows:
        found[outcome].append(row)
        if learned:
            all_tokens, all_learned = all_tokens + tokens, all_learned + learned
        elif outcome != "dropped":
            unlearned.append(row)
    return Counts(
        rows=sum(map(len, found.values())),
        shortened=tuple(found["shortened"]),
        cut=tuple(found["cut"]),
        dropped=tuple(found["dropped"]),
        unlearned=tuple(unlearned),
        tokens=all_tokens,
        learned_tokens=all_learned,
    )


def _said(*parts: tuple[str, Sequence[int], str, str]) -> list[str]:
    """Sentences such as "Cut: 3 rows (3, 17, 20), longer than 64 tokens."; the first rows, as people count."""
    found = []
    for what, rows, word, why in parts:
        first = ", ".join(f"{row + 1}" for row in rows[:5]) + (", …" if len(rows) > 5 else "")
        if rows:
            found.append(f"{what}: {len(rows):,} {word}{'' if len(rows) == 1 else 's'} ({first}), {why}.")
    return found
