"""Finds answers in which an assistant refuses or speaks about itself as an AI."""

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

HEAD = 400
"""Refusals stand at the beginning of an answer; sentences on being an AI too."""
REFUSES = re.compile(
    r"\b(?:i(?:['’]?m| am) (?:sorry|afraid|unable)|sorry|i apologi[sz]e|unfortunately),? .{0,60}?"
    r"\b(?:can(?:no|['’])t|can not|(?:un|not )able to|not (?:allowed|permitted) to|won['’]t) "
    r"(?:help|assist|provide|answer|do that|fulfil|comply|complete|create|generate|write|access|engage|support|discuss)"
    r"|\bi (?:can(?:no|['’])t|can not|won['’]t|am unable to|['’]?m unable to|am not able to) "
    r"(?:help (?:you )?with|assist (?:you )?with|provide (?:you with )?(?:that|any|information|assistance|guidance)"
    r"|fulfil|comply|engage in|support)"
    r"|\bit (?:is|would be) (?:not appropriate|inappropriate|unethical) (?:for me )?to\b"
    r"|\b(?:es tut mir leid|tut mir leid|leider),? .{0,40}\bkann ich .{0,60}\bnicht\b"
    r"|\b(?:je suis désolée?|désolée?),? .{0,40}\bje ne peux pas\b"
    r"|\blo siento,? .{0,40}\bno puedo\b"
    r"|(?:很抱歉|抱歉|对不起).{0,20}(?:无法|不能)",
    re.IGNORECASE,
)
AS_AN_AI = re.compile(
    r"\bas an? (?:\w+ )?(?:ai|artificial intelligence|language model|large language model|virtual assistant)\b"
    r"(?! (?:researcher|engineer|expert|developer|company|startup|professional|scientist|enthusiast|student|teacher))"
    r"|\bi(?:['’]?m| am) (?:just |only |merely )?an? (?:ai|large|artificial intelligence)\b"
    r" ?(?:language model|assistant|chatbot|model|\W)"
    r"|\bmy (?:knowledge|training) (?:cut-?off|data (?:only )?(?:goes|ends))"
    r"|\bas of my (?:last|latest) (?:knowledge )?update"
    r"|\bi (?:do not|don['’]t) have (?:personal (?:opinions|feelings|beliefs|experiences|preferences)"
    r"|access to (?:real-?time|current|the internet)|the ability to (?:feel|browse|access))"
    r"|\bi(?:['’]?m| am| was| have been)\b[^.]{0,60}\b(?:trained|developed|created|made) by "
    r"(?:openai|anthropic|google deepmind|meta ai)\b"
    r"|\bals (?:ki|künstliche intelligenz)\b|\bals (?:ein )?(?:ki-)?sprachmodell\b"
    r"|\ben tant qu(?:e modèle de langage|['’]ia\b)|\bcomo (?:modelo de lenguaje|una ia\b)"
    r"|作为(?:一个|一名)?(?:人工智能|ai|语言模型)",
    re.IGNORECASE,
)
REFUSALS = Words(
    "an answer that refuses",
    "The model learns to refuse, also where it should help; usually such rows come from the model that wrote the data.",
    "Drop these rows, unless the refusals are what the model should learn.",
)
SPEAKS_AS_AI = Words(
    "an answer that speaks as an AI, such as “As an AI language model”",
    "The model learns these phrases, and who it claims to be, from the model that wrote the data.",
    "Drop these rows, or rewrite the answers and import the file again.",
)


class Refusals:
    """Answers that refuse, and answers that speak as an AI."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.refuse: dict[Part, Gathered] = {part: Gathered() for part in PARTS}
        self.speak: dict[Part, Gathered] = {part: Gathered() for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        for answer in seen.answers:
            head = answer[:HEAD]
            for expression, hits in ((REFUSES, self.refuse), (AS_AN_AI, self.speak)):
                if match := expression.search(head):
                    hits[seen.part].add(seen.row, f"the answer says “{' '.join(match.group().split())}”")
                    return

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """A row stands in one of both only: refusals first."""
        found = []
        for kind, words, by_part in (("", REFUSALS, self.refuse), ("as_ai", SPEAKS_AS_AI, self.speak)):
            for part, hits in by_part.items():
                if hits.rows:
                    remedy = drop_if(self.context, part)
                    found.append(finding("refusals", part, hits, looked[part], words, kind=kind, remedy=remedy))
        return found


def refusals(context: Context) -> Watch:
    """The check of this name."""
    return Refusals(context)
