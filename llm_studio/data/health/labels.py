"""Looks at answers that are labels: whether one of them is nearly all there is, and which are rare."""

from collections import Counter

from llm_studio.data.checking import normalised
from llm_studio.data.health.findings import Finding, Part, percent, slot
from llm_studio.data.health.watching import (
    PARTS,
    Context,
    Gathered,
    Looked,
    Seen,
    Tell,
    Watch,
    Words,
    finding,
)

LABEL_CHARACTERS = 60
MOST_LABELS = 50
ROWS_PER_LABEL = 10
"""Answers are labels when so many rows share one on average."""
FEWEST_ROWS = 20
ONE_SIDED = 0.8
RARE_ROWS = 10
KEPT_ROWS = 2 * RARE_ROWS
"""Rows remembered for each label; more are never listed."""


class Labels:
    """Counts answers as long as they are few and short."""

    def __init__(self, context: Context) -> None:
        self.counts: dict[Part, Counter[str]] = {part: Counter() for part in PARTS}
        self.rows: dict[tuple[Part, str], list[int]] = {}
        self.shown: dict[str, str] = {}
        self.free_text = False

    def look(self, seen: Seen) -> None:
        """One conversation; the first long answer shows that answers are no labels."""
        if self.free_text:
            return
        if len(seen.answers) != 1 or len(seen.answer) > LABEL_CHARACTERS:
            self.free_text = True
            self.rows.clear()
            return
        label = normalised(seen.answer)
        self.shown.setdefault(label, seen.answer.strip())
        self.counts[seen.part][label] += 1
        kept = self.rows.setdefault((seen.part, label), [])
        if len(kept) < KEPT_ROWS:
            kept.append(seen.row)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """One label that outweighs the others, and labels with few rows; of the training part."""
        counts, total = self.counts["train"], looked["train"]
        if self.free_text or total < FEWEST_ROWS or len(counts) > min(MOST_LABELS, total / ROWS_PER_LABEL):
            return []
        found = []
        label, most = counts.most_common(1)[0]
        if most >= ONE_SIDED * total:
            found.append(self.one_sided(label, most, total))
        rare = Gathered()
        names = [name for name, count in counts.most_common() if count < RARE_ROWS]
        for name in names:
            for row in self.rows["train", name]:
                rare.add(row, f"the label “{self.shown[name]}” has {counts[name]:,} of {total:,} rows")
        if names:
            words = Words(
                f"one of {len(names)} labels that have fewer than {RARE_ROWS} rows each",
                "A label with so few rows is hardly learned, and hardly ever scored.",
                "Bring more rows with these labels, or merge them with others.",
            )
            found.append(finding("labels", "train", rare, total, words, severity="note", kind="rare"))
        return found

    def one_sided(self, label: str, most: int, total: int) -> Finding:
        """The finding for a label that (nearly) all rows have; it lists no rows, for none of them is wrong."""
        alone = most == total
        return Finding(
            check="labels",
            name=slot("labels", "one_sided", "train"),
            severity="stops" if alone else "warning",
            part="train",
            what=f"{percent(most / total)} of the {total:,} training rows have the same answer, “{self.shown[label]}”.",
            why="A model that always answers so is right in as many rows, without having learned anything.",
            fix="Bring rows with other answers." if alone else "Bring more rows with the other answers.",
            count=0,
            share=most / total,
        )


def labels(context: Context) -> Watch:
    """The check of this name."""
    return Labels(context)
