"""Checks that the roles of a conversation alternate as chat templates expect."""

from itertools import pairwise

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
from llm_studio.data.types import Message

ORDER = Words(
    "messages out of order: {kinds}",
    "Chat templates expect user and assistant in turn; many refuse anything else, and others teach the model to talk "
    "to itself.",
    "Drop these rows, or mend the order and import the file again.",
)


def disorder(messages: tuple[Message, ...]) -> str:
    """What is wrong with the order, in words; empty when nothing is."""
    spoken = [one.role for one in messages if one.role != "system"]
    for place, one in enumerate(messages):
        if one.role == "system" and place > 0:
            return "a system message is not the first"
    if not spoken:
        return "there is only a system message"
    # A lone answer is plain text to learn; a lone question cannot come here, for nothing in it is learned.
    if spoken[0] == "assistant" and len(spoken) > 1:
        return "the assistant begins"
    if spoken[0] == "tool":
        return "a tool begins"
    for before, after in pairwise(spoken):
        if before == after != "tool":
            return f"two messages of the {after} in a row"
        if after == "tool" and before == "user":
            return "a tool answers the user"
    return "the user has the last word" if spoken[-1] == "user" else ""


class RoleOrder:
    """Conversations whose roles do not alternate."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hits: dict[Part, Gathered] = {part: Gathered() for part in PARTS}
        self.kinds: dict[Part, dict[str, int]] = {part: {} for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        wrong = disorder(seen.messages)
        if wrong:
            self.hits[seen.part].add(seen.row, wrong)
            self.kinds[seen.part][wrong] = self.kinds[seen.part].get(wrong, 0) + 1

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Rows out of order, the most frequent kind first."""
        found = []
        for part, hits in self.hits.items():
            if hits.rows:
                kinds = sorted(self.kinds[part].items(), key=lambda item: -item[1])
                said = ", ".join(f"{kind} ({count:,})" for kind, count in kinds)
                words = Words(ORDER.what.format(kinds=said), ORDER.why, ORDER.fix)
                remedy = drop_if(self.context, part)
                found.append(finding("role_order", part, hits, looked[part], words, remedy=remedy))
        return found


def role_order(context: Context) -> Watch:
    """The check of this name."""
    return RoleOrder(context)
