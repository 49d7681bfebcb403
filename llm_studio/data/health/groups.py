"""Checks that compare rows by equal texts: duplicates, contradictions, prompts that are learned and scored."""

import numpy as np
import numpy.typing as npt

from llm_studio.data.health.findings import Finding, Part, Remedy, Severity
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
    drop_if,
    finding,
    from_rows,
    key,
)

LABEL_WORDS = 5
"""Answers of at most so many words are taken for labels: two different ones for one prompt cannot both be right."""
TOO_MUCH_OVERLAP = 0.05
"""When more of the validation rows than this were learned, the scores say nothing."""
DUPLICATES = Words(
    "a conversation that repeats an earlier row",
    "Repeated rows count more than others and are learned by heart.",
    "Keep the first row of each and drop the others.",
)
CONTRADICTIONS = Words(
    "the prompt of another row and a different short answer",
    "The model cannot give two answers to one question; it learns to guess.",
    "Keep the answer that most of the rows give (rows without a majority are dropped), or mend the answers.",
)
SEVERAL = Words(
    "the prompt of another row and a different answer",
    "This may be meant, as with several good answers; where the answers disagree, the model learns to guess.",
    "Look at the examples and drop what is wrong.",
)
OVERLAP = Words(
    "a prompt that also stands in the validation rows",
    "The model is scored on questions that it has learned, so scores look better than they are.",
    "Drop these rows from the training part.",
)


class Duplicates:
    """Rows that repeat an earlier conversation of the same part."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.seen = Keys()

    def look(self, seen: Seen) -> None:
        """One conversation."""
        self.seen.add(seen, seen.conversation_key)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """All but the first row of every group."""
        found = []
        for part in PARTS:
            rows, first = self.seen.rows(part), first_rows(self.seen.keys(part), self.seen.rows(part))
            again = first != rows
            earlier = dict(zip(rows[again].tolist(), first[again].tolist(), strict=True))

            def reason(row: int, earlier: dict[int, int] = earlier) -> str:
                return f"the same as row {earlier[row] + 1:,}"

            if earlier:
                hits = from_rows(rows[again], reason)
                remedy = Remedy("deduplicate", {"by": "exact"}) if self.context.can_drop(part) else None
                found.append(finding("duplicates", part, hits, looked[part], DUPLICATES, remedy=remedy))
        return found


def first_rows(keys: npt.NDArray[np.uint64], rows: Rows) -> Rows:
    """[seen] the first row with the same key."""
    if not len(keys):
        return rows
    _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
    found: Rows = rows[index][inverse]
    return found


class Contradictions:
    """Rows with the same messages before the first answer, and different first answers."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.prompts = Keys()
        self.answers = Keys()
        self.short: dict[Part, bytearray] = {part: bytearray() for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        if seen.prompt.strip() and seen.answers:
            self.prompts.add(seen, seen.context_key)
            self.answers.add(seen, key([seen.answer]))
            self.short[seen.part].append(len(seen.answer.split(maxsplit=LABEL_WORDS)) <= LABEL_WORDS)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Contradicting labels as a warning, several long answers as a note."""
        found = []
        for part in PARTS:
            short, long, losers, partner = self.disagreeing(part)

            def reason(row: int, partner: dict[int, int] = partner) -> str:
                return f"row {partner[row] + 1:,} has the same prompt and another answer"

            if len(short):
                remedy = drop_if(self.context, part)
                hits = from_rows(losers, reason)
                found.append(finding("contradictions", part, hits, looked[part], CONTRADICTIONS, remedy=remedy))
            if len(long):
                hits = from_rows(long, reason)
                words = finding("contradictions", part, hits, looked[part], SEVERAL, severity="note", kind="several")
                found.append(words)
        return found

    def disagreeing(self, part: Part) -> tuple[Rows, Rows, Rows, dict[int, int]]:
        """Rows in groups of short answers, in other groups, short rows to drop, and a row each disagrees with."""
        rows, prompts, answers = self.prompts.rows(part), self.prompts.keys(part), self.answers.keys(part)
        short = np.frombuffer(bytes(self.short[part]), dtype=np.bool_)
        order = np.lexsort((rows, prompts))
        edges = np.flatnonzero(np.diff(prompts[order])) + 1
        labels: list[int] = []
        texts: list[int] = []
        losers: list[int] = []
        partner: dict[int, int] = {}
        for group in np.split(order, edges):
            if len(group) < 2 or (answers[group] == answers[group[0]]).all():
                continue
            values, counts = np.unique(answers[group], return_counts=True)
            best = int(counts.argmax())
            majority = values[best] if (counts == counts[best]).sum() == 1 else None
            one_side, other_side = group[0], group[answers[group] != answers[group[0]]][0]
            for one in group:
                other = other_side if answers[one] == answers[one_side] else one_side
                partner[int(rows[one])] = int(rows[other])
            if short[group].all():
                labels += rows[group].tolist()
                losers += [int(rows[one]) for one in group if majority is None or answers[one] != majority]
            else:
                texts += rows[group].tolist()
        arrays = [np.array(sorted(one), dtype=np.int64) for one in (labels, texts, losers)]
        return arrays[0], arrays[1], arrays[2], partner


class Overlap:
    """Training rows whose prompt is also scored."""

    def __init__(self, context: Context) -> None:
        self.seen = Keys()

    def look(self, seen: Seen) -> None:
        """One conversation."""
        if seen.prompt_key:
            self.seen.add(seen, seen.prompt_key)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """The training rows to drop."""
        train, validation = self.seen.keys("train"), self.seen.keys("validation")
        leaked = np.isin(train, validation)
        if not leaked.any():
            return []
        row_of = dict(zip(validation.tolist(), self.seen.rows("validation").tolist(), strict=True))
        rows = self.seen.rows("train")[leaked]
        partner = dict(zip(rows.tolist(), (row_of[one] for one in train[leaked].tolist()), strict=True))
        hits: Gathered = from_rows(rows, lambda row: f"row {partner[row] + 1:,} of the validation rows asks the same")
        spoiled = float(np.isin(validation, train).sum()) / max(looked["validation"], 1)
        severity: Severity = "stops" if spoiled > TOO_MUCH_OVERLAP else "warning"
        return [finding("overlap", "train", hits, looked["train"], OVERLAP, severity=severity, remedy=Remedy("drop"))]


def duplicates(context: Context) -> Watch:
    """The check of this name."""
    return Duplicates(context)


def contradictions(context: Context) -> Watch:
    """The check of this name."""
    return Contradictions(context)


def overlap(context: Context) -> Watch:
    """The check of this name."""
    return Overlap(context)
