"""Finds personal data and secrets with the patterns of personal.py, which also mask them."""

from llm_studio.data.fixes.personal import PATTERNS, Pattern, hinted, occurrences
from llm_studio.data.health.findings import Finding, Part
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

WHY_PERSONAL = "A model can repeat what it has learned to anybody who uses it, also personal data."
WHY_SECRET = "A model can repeat a key to anybody who uses it, and with it gives access away."


class Private:
    """Rows that hold personal data, or secrets, one finding for each kind."""

    def __init__(self, context: Context, check: str, patterns: tuple[Pattern, ...]) -> None:
        self.context = context
        self.check = check
        self.patterns = patterns
        self.hits: dict[tuple[str, Part], Gathered] = {
            (one.name, part): Gathered() for one in patterns for part in PARTS
        }

    def look(self, seen: Seen) -> None:
        """One conversation."""
        text = "\n".join(one.content for one in seen.messages)
        for one in self.patterns:
            first = next(occurrences(one, text), None)
            if first is not None:
                self.hits[one.name, seen.part].add(seen.row, f"it holds {hinted(first)} ({one.title})")

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """One finding for each kind, each with the step that masks it."""
        found = []
        for one in self.patterns:
            fix = f"Replace them by {one.replacement}"
            words = Words(
                f"{'an' if one.title[0] in 'aeioA' else 'a'} {one.title}",
                WHY_SECRET if one.secret else WHY_PERSONAL,
                f"{fix}, and make the key invalid where it was issued." if one.secret else f"{fix}.",
            )
            for part in PARTS:
                hits = self.hits[one.name, part]
                if hits.rows:
                    remedy = self.context.edit("replace", known=one.name, replacement=one.replacement)
                    found.append(finding(self.check, part, hits, looked[part], words, kind=one.name, remedy=remedy))
        return found


def personal_data(context: Context) -> Watch:
    """The check of this name."""
    return Private(context, "personal_data", tuple(one for one in PATTERNS if not one.secret))


def secrets(context: Context) -> Watch:
    """The check of this name."""
    return Private(context, "secrets", tuple(one for one in PATTERNS if one.secret))
