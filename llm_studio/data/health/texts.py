"""Checks of single texts: empty prompts, empty and one-word answers, outer white space."""

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

USUAL = 0.2
"""When more of the answers than this are a single word, they are labels and not too short."""
PROMPTS = Words(
    "an empty prompt",
    "The model learns to say these answers whatever it is asked.",
    "Drop these rows, or choose the column that holds the prompt.",
)
EMPTY = Words(
    "an empty answer",
    "The model learns to answer nothing.",
    "Drop these rows, or fill in the answers and import the file again.",
)
ONE_WORD = Words(
    "an answer of one word, while most answers are longer",
    "A few very short answers among long ones are often leftovers of a form (“N/A”, “done”) and teach curtness.",
    "Look at the examples; drop the rows if the answers are not what the model should say.",
)
SPACE = Words(
    "white space before or after a prompt or an answer",
    "The model learns the white space too, and answers then differ from what you expect by invisible characters.",
    "Trim the columns.",
)


class EmptyPrompts:
    """Rows whose user says nothing before the first answer."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hits: dict[Part, Gathered] = {part: Gathered() for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        if self.context.expects_prompts and not seen.prompt.strip():
            self.hits[seen.part].add(seen.row, "there is no text of a user before the answer")

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Rows without a prompt."""
        return [
            finding("empty_prompts", part, hits, looked[part], PROMPTS, remedy=drop_if(self.context, part))
            for part, hits in self.hits.items()
            if hits.rows
        ]


class ShortAnswers:
    """Answers without text, and single words among longer answers."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.empty: dict[Part, Gathered] = {part: Gathered() for part in PARTS}
        self.one_word: dict[Part, Gathered] = {part: Gathered() for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        for answer in seen.answers:
            words = answer.split(maxsplit=2)
            if not words:
                self.empty[seen.part].add(seen.row, "the answer is empty")
                return
            # One "word" of Chinese or Japanese, and one JSON object without spaces, may be a whole answer.
            if len(words) == 1 and len(answer) <= 20 and answer.isascii():
                self.one_word[seen.part].add(seen.row, f"the answer is “{words[0]}”")
                return

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Empty answers; one-word answers where they are not usual."""
        found = [
            finding("short_answers", part, hits, looked[part], EMPTY, kind="empty", remedy=drop_if(self.context, part))
            for part, hits in self.empty.items()
            if hits.rows
        ]
        return found + [
            finding(
                "short_answers",
                part,
                hits,
                looked[part],
                ONE_WORD,
                kind="one_word",
                severity="note",
                remedy=drop_if(self.context, part),
            )
            for part, hits in self.one_word.items()
            if 0 < len(hits.rows) <= USUAL * looked[part]
        ]


class WhiteSpace:
    """Texts with white space at an end."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.hits: dict[Part, Gathered] = {part: Gathered() for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        for one in seen.messages:
            if one.content and (one.content[0].isspace() or one.content[-1].isspace()):
                end = "begins" if one.content[0].isspace() else "ends"
                self.hits[seen.part].add(seen.row, f"the text of the {one.role} {end} with white space")
                return

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Rows that trimming would change."""
        remedy = self.context.edit("trim")
        return [
            finding("white_space", part, hits, looked[part], SPACE, severity="note", remedy=remedy)
            for part, hits in self.hits.items()
            if hits.rows
        ]


def empty_prompts(context: Context) -> Watch:
    """The check of this name."""
    return EmptyPrompts(context)


def short_answers(context: Context) -> Watch:
    """The check of this name."""
    return ShortAnswers(context)


def white_space(context: Context) -> Watch:
    """The check of this name."""
    return WhiteSpace(context)
