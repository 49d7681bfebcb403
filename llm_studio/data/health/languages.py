"""Finds answers in another language than most; py3langid tells the language, without a network."""

from collections import Counter
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

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

FEWEST_LETTERS = 40
"""The language of a shorter text is a guess (20 letters suffice where nearly every sign is a word of its own)."""
HEAD = 300
SURE = 0.95
NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Languages that are told; the model knows more, but takes code and lists of names for some of those."""


@cache
def identifier() -> LanguageIdentifier:
    """The model that comes with py3langid, with probabilities."""
    made = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    made.set_languages([code for code in NAMES if code in set(made.labels)])
    return made


def language(text: str) -> str:
    """The code of the language; empty for a short text, for code and when it is not sure."""
    head = text[:HEAD]
    letters = sum(map(str.isalpha, head))
    if letters < (FEWEST_LETTERS if head.isascii() else FEWEST_LETTERS // 2) or letters < 0.6 * len(head):
        return ""
    code, sure = identifier().classify(head)
    return str(code) if sure >= SURE else ""


class Languages:
    """Counts the languages of first answers and keeps the rows of each."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.rows: dict[Part, dict[str, list[int]]] = {part: {} for part in PARTS}

    def look(self, seen: Seen) -> None:
        """One conversation."""
        code = language(seen.answer)
        if code:
            self.rows[seen.part].setdefault(code, []).append(seen.row)

    def found(self, looked: Looked, tell: Tell) -> list[Finding]:
        """Rows of every language but the most frequent one of both parts."""
        counts: Counter[str] = Counter()
        for by_code in self.rows.values():
            counts.update({code: len(rows) for code, rows in by_code.items()})
        if len(counts) < 2:
            return []
        main = counts.most_common(1)[0][0]
        found = []
        for part in PARTS:
            others = sorted((row, code) for code, rows in self.rows[part].items() if code != main for row in rows)
            if not others:
                continue
            gathered = Gathered()
            for row, code in others:
                gathered.add(row, f"the answer seems to be {NAMES[code]}")
            tally = Counter(code for _, code in others).most_common()
            said = ", ".join(f"{NAMES[code]} {count:,}" for code, count in tally[:5])
            more = f" and {len(tally) - 5} more" if len(tally) > 5 else ""
            words = Words(
                f"an answer in another language than most, which are {NAMES[main]}: {said}{more}",
                "This may be meant. Where it is not, the model learns to change the language.",
                "Look at the examples; drop the rows if the model is to answer in one language.",
            )
            remedy = drop_if(self.context, part)
            found.append(finding("languages", part, gathered, looked[part], words, severity="note", remedy=remedy))
        return found


def languages(context: Context) -> Watch:
    """The check of this name."""
    return Languages(context)
