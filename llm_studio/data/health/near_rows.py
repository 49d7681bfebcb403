"""Checks that compare rows by nearly equal texts: near-duplicates, and scored prompts that are nearly learned."""

from dataclasses import replace

import numpy as np

from llm_studio.data.health.findings import EXAMPLES, Example, Finding, Part, Remedy
from llm_studio.data.health.watching import (
    PARTS,
    Context,
    Gathered,
    Keys,
    Looked,
    Rows,
    Seen,
    Tell,
    Watch,
    Words,
    finding,
    within,
)
from llm_studio.data.near import Pairs, ShingleSets, clusters

THRESHOLD = 0.8
NEAR = Words(
    "a conversation that is nearly the same as an earlier row{largest}",
    "Rows that are nearly the same count more than others and are learned by heart.",
    "Look at the pairs, then keep the first row of each group and drop the others.",
)
TEMPLATE = (
    " Some groups are very large: a long text that stands in every prompt makes rows alike that are not; "
    "then drop nothing, or move that text into the system column."
)
LARGE = 0.1
"""A group that holds more of the rows than this may come from a template."""
NEAR_OVERLAP = Words(
    "a prompt that is nearly the same as one of the validation rows",
    "The model is scored on questions much like those it has learned, so scores may look better than they are.",
    "Look at the pairs, then drop these rows from the training part.",
)


class NearDuplicates:
    """Groups of nearly equal conversations within each part."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.sets: dict[Part, ShingleSets] = {part: ShingleSets() for part in PARTS}
        self.keys = Keys()

    def look(self, seen: Seen) -> None:
        """One conversation."""
        self.sets[seen.part].add(seen.text)
        self.keys.add(seen, seen.conversation_key)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """All but the first row of every group; rows that repeat another exactly are left to that check."""
        found = []
        done, total = 0.0, max(sum(looked.values()), 1)
        for part, sets in self.sets.items():
            rows, keys = self.keys.rows(part), self.keys.keys(part)
            pairs = sets.pairs(threshold=THRESHOLD, tell=within(tell, done, looked[part] / total))
            done += looked[part] / total
            other = keys[pairs.left] != keys[pairs.right]
            pairs = Pairs(pairs.left[other], pairs.right[other], pairs.jaccard[other])
            if not len(pairs):
                continue
            groups = clusters(pairs, len(rows))
            again = rows[groups != np.arange(len(rows))]
            largest = int(np.bincount(groups).max())
            found.append(self.finding(part, again, largest, in_pairs(pairs, rows, "row"), looked[part]))
        return found

    def finding(self, part: Part, again: Rows, largest: int, examples: tuple[Example, ...], looked: int) -> Finding:
        """The finding of one part; the examples show pairs with their exact similarity."""
        gathered = Gathered()
        gathered.rows.extend(again.tolist())
        template = largest > max(LARGE * looked, 10)
        size = f" (the largest group has {largest:,} rows)" if largest > 2 else ""
        words = Words(NEAR.what.format(largest=size), NEAR.why, NEAR.fix + (TEMPLATE if template else ""))
        by_near = Remedy("deduplicate", {"by": "near", "threshold": THRESHOLD})
        remedy = by_near if self.context.can_drop(part) else None
        return with_examples(
            finding("near_duplicates", part, gathered, looked, words, remedy=remedy),
            examples,
        )


class NearOverlap:
    """Training prompts that are nearly those of validation rows; equal ones are left to the check of overlap."""

    def __init__(self, context: Context) -> None:
        self.sets = ShingleSets()
        self.rows: list[int] = []
        self.keys: list[int] = []
        self.train = 0

    def look(self, seen: Seen) -> None:
        """One conversation; the training part comes first."""
        self.sets.add(seen.prompt)
        self.rows.append(seen.row)
        self.keys.append(seen.prompt_key)
        self.train += seen.part == "train"

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Training rows in a group with a validation row, unless their prompts are equal."""
        if not self.rows or self.train == len(self.rows):
            return []
        pairs = self.sets.pairs(threshold=THRESHOLD, tell=tell)
        rows, keys = np.array(self.rows, dtype=np.int64), np.array(self.keys, dtype=np.uint64)
        groups = clusters(pairs, len(rows))
        scored = groups[self.train :]
        learned = np.isin(groups[: self.train], scored) & ~np.isin(keys[: self.train], keys[self.train :])
        if not learned.any():
            return []
        gathered = Gathered()
        for place in np.flatnonzero(learned).tolist():
            partner = rows[self.train + int(np.argmax(scored == groups[place]))] if len(gathered.rows) < EXAMPLES else 0
            gathered.add(int(rows[place]), f"in one group with validation row {partner + 1:,}")
        across = (pairs.left < self.train) & (pairs.right >= self.train)
        across &= learned[np.minimum(pairs.left, self.train - 1)]
        shown = Pairs(pairs.right[across], pairs.left[across], pairs.jaccard[across])
        examples = in_pairs(shown, rows, "validation row")
        made = finding("near_overlap", "train", gathered, looked["train"], NEAR_OVERLAP, remedy=Remedy("drop"))
        return [with_examples(made, examples or made.examples)]


def in_pairs(pairs: Pairs, rows: Rows, named: str) -> tuple[Example, ...]:
    """One example for each right row, with the left row it is most like and their exact similarity."""
    order = np.lexsort((-pairs.jaccard, pairs.right))
    _, first = np.unique(pairs.right[order], return_index=True)
    chosen = order[first][:EXAMPLES]
    return tuple(
        Example(
            int(rows[pairs.right[one]]),
            "",
            f"{100 * pairs.jaccard[one]:.0f} % of the word triples are those of {named} {rows[pairs.left[one]] + 1:,}",
        )
        for one in chosen
    )


def with_examples(made: Finding, examples: tuple[Example, ...]) -> Finding:
    """The finding with examples of its own."""
    return replace(made, examples=examples)


def near_duplicates(context: Context) -> Watch:
    """The check of this name."""
    return NearDuplicates(context)


def near_overlap(context: Context) -> Watch:
    """The check of this name."""
    return NearOverlap(context)
