"""Finds answers that break off: without the end of a sentence while most others have one."""

import re

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

FEWEST_WORDS = 12
"""Shorter answers (names, titles, labels) need no full stop."""
USUAL = 0.8
"""Only where so many of the longer answers end a sentence is a missing end a sign."""
LIST_ITEM = re.compile(r"\s*(?:[-*•–#>|]|\d{1,3}[.):]|[A-Za-z][.):])\s")
SIGNED = re.compile(r"(?:^|\s)#\w+$|[\"'”’».!?]\s*[-–—~]\s*[^-–—]{1,50}$")
"""A hashtag, or the name of who said it, at the end."""
FORMULA_OR_CODE = re.compile(r"[=<>{}\\`$;|_]|\)\(|https?://|www\.")
DANGLING = re.compile(
    r"a|an|the|and|or|but|of|to|in|on|at|by|for|from|with|as|is|are|was|were|be|been|that|which|who|whose|this|these|"
    r"those|its|their|his|her|our|your|my|if|because|than|then|when|while|into|about|between|through|such|very|not|"
    r"der|die|das|den|dem|des|und|oder|aber|ist|sind|war|mit|von|zu|für|auf|le|la|les|un|une|et|ou|de|du|est|dans|"
    r"el|los|las|y|o|del|con|por|para|que|en",
    re.IGNORECASE,
)
"""Words that end no sentence."""
WORDS = Words(
    "an answer that breaks off",
    "The model learns to stop in the middle of a sentence. Such rows often come from a limit on length.",
    "Look at the examples and drop these rows, or complete the answers and import the file again.",
)


def ends_a_sentence(text: str) -> bool:
    """Whether the last sign is one that may close a text: no letter, digit, comma, dash or opening bracket."""
    last = text[-1]
    return not (last.isalnum() or last in ",-–—([{/&")


def breaks_off(text: str) -> str:
    """How a longer answer breaks off, in words; empty when its end could be meant."""
    text = text.rstrip()
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return ""
    tail = " ".join(words[-6:])
    last_line = text[text.rfind("\n") + 1 :]
    if text.endswith(("...", "…")) and DANGLING.fullmatch(words[-1].rstrip(".…")):
        return f"it ends with “{tail}”"
    if ends_a_sentence(text) or SIGNED.search(last_line):
        return ""
    dangling = bool(DANGLING.fullmatch(words[-1])) or text[-1] in ",([{&–—"
    if dangling and not FORMULA_OR_CODE.search(last_line):
        return f"it ends with “{tail}”"
    # Headings, items of a list, verses and formulas end without a full stop on purpose.
    lines = text.count("\n") + 1
    is_prose = len(last_line.split()) >= FEWEST_WORDS and not LIST_ITEM.match(last_line)
    if is_prose and not FORMULA_OR_CODE.search(last_line) and (lines == 1 or "." in last_line[:-1]):
        return f"it ends with “{tail}”"
    return ""


class CutOff:
    """Counts how answers end, and gathers those that break off."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hits: dict[Part, Gathered] = {part: Gathered() for part in PARTS}
        self.longer = 0
        self.ended = 0

    def look(self, seen: Seen) -> None:
        """One conversation."""
        wrong = ""
        for answer in seen.answers:
            text = answer.rstrip()
            if text.count(" ") + 1 >= FEWEST_WORDS:
                self.longer += 1
                self.ended += ends_a_sentence(text)
                wrong = wrong or breaks_off(text)
        if wrong:
            self.hits[seen.part].add(seen.row, wrong)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Answers that break off, where most others end."""
        if self.ended < USUAL * self.longer:
            return []
        return [
            finding("cut_off", part, hits, looked[part], WORDS, remedy=drop_if(self.context, part))
            for part, hits in self.hits.items()
            if hits.rows
        ]


def cut_off(context: Context) -> Watch:
    """The check of this name."""
    return CutOff(context)
