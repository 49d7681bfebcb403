"""Finds damaged text: wrongly decoded characters, replacement characters, control characters."""

import re

from ftfy.badness import is_bad

from llm_studio.data.fixes.edits import repaired
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
    drop_if,
    finding,
)

CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f]")
"""Control characters but for tab, line ends and form feed."""
LOST = "\ufffd"
KINDS: dict[str, Words] = {
    "mojibake": Words(
        "wrongly decoded characters, such as “Ã©” for “é”",
        "The model learns to write the broken characters.",
        "Repair the columns: the characters can be told from what they became.",
    ),
    "control": Words(
        "control characters, which nobody sees",
        "They cost tokens, and the model may learn to write them.",
        "Repair the columns, which removes them.",
    ),
    "lost": Words(
        "the sign “\ufffd” in place of a character that was lost",
        "Nobody can tell what stood there; the model learns to write the sign.",
        "Drop these rows, or save the file as UTF-8 again and import it anew.",
    ),
}


def damage(text: str) -> tuple[str, str]:
    """The kind of damage and where it is, in words; two empty texts when there is none."""
    if match := CONTROL.search(text):
        return "control", f"it holds the control character U+{ord(match.group()):04X}"
    if text.isascii():
        return "", ""
    if LOST in text:
        place = text.index(LOST)
        return "lost", f"it holds “{' '.join(text[max(0, place - 15) : place + 15].split())}”"
    if is_bad(text):
        new = repaired(text)
        if new != text:
            place = next(at for at, (old, fresh) in enumerate(zip(text, new + "\0", strict=False)) if old != fresh)
            return "mojibake", f"it holds “{' '.join(text[max(0, place - 12) : place + 12].split())}”"
    return "", ""


class Encoding:
    """Rows with damaged text, each under the first kind that it shows."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hits: dict[tuple[str, Part], Gathered] = {(kind, part): Gathered() for kind in KINDS for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        for one in seen.messages:
            kind, reason = damage(one.content)
            if kind:
                self.hits[kind, seen.part].add(seen.row, reason)
                return

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """One finding for each kind."""
        found = []
        for (kind, part), hits in self.hits.items():
            if hits.rows:
                remedy = drop_if(self.context, part) if kind == "lost" else self.context.edit("repair")
                found.append(finding("encoding", part, hits, looked[part], KINDS[kind], kind=kind, remedy=remedy))
        return found


def encoding(context: Context) -> Watch:
    """The check of this name."""
    return Encoding(context)
