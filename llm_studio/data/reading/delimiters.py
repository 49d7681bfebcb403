"""Which character separates the values of a text table: the one that cuts its first rows into equally many values."""

import csv
import io
from collections import Counter

from llm_studio.data.reading.encoding import TextFile

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_CHARACTERS = 256 * 1024
SAMPLE_ROWS = 200
NEVER = set("\"'_-. ?!()[]{}<>/\\@&\r\n\x00")
"""Characters that stand in names and texts too often to separate them."""
LONGEST_NAME = 60
MOST_WORDS = 4


def sniff_delimiter(text: TextFile) -> str:
    """The delimiter of a file that is known to be a table; a comma if there is but one column.

    Characters other than those in DELIMITERS are taken only when all the first rows agree.
    """
    sample = sample_of(text)
    best, best_score = "", 0.0
    for delimiter in DELIMITERS:
        widths = row_widths(sample, delimiter)
        if widths and widths[0] > 1:
            score = Counter(widths)[widths[0]] / len(widths) + 0.001 * min(widths[0], 100)
            if score > best_score:
                best, best_score = delimiter, score
    if best:
        return best
    header = sample.lstrip("\r\n").splitlines()[0] if sample.strip() else ""
    unusual = [sign for sign in dict.fromkeys(header) if sign.isascii() and not sign.isalnum() and sign not in NEVER]
    return next((sign for sign in unusual if agrees(row_widths(sample, sign))), ",")


def table_delimiter(text: TextFile) -> str:
    """The delimiter of a text that may be prose; "" unless the first line reads like names and all rows agree."""
    sample = sample_of(text)
    for delimiter in ("\t", "|", ";", ","):
        widths = row_widths(sample, delimiter)
        if not agrees(widths):
            continue
        names = next(row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row)
        sentence = names[-1].rstrip().endswith((".", "!", "?", ",", ":"))
        # In prose a space follows a comma.
        sentence |= delimiter in ",;" and all(name.startswith(" ") for name in names[1:])
        short = all(name.strip() and len(name) <= LONGEST_NAME and len(name.split()) <= MOST_WORDS for name in names)
        if short and not sentence and len(set(names)) == len(names):
            return delimiter
    return ""


def agrees(widths: list[int]) -> bool:
    """Whether at least three rows, the header among them, have the same number of values, two or more."""
    return len(widths) >= 3 and widths[0] > 1 and len(set(widths)) == 1


def sample_of(text: TextFile) -> str:
    """The start of the file; the last line is left away when the sample cuts it."""
    with text.path.open("rb") as file:
        file.seek(text.start)
        sample = file.read(SAMPLE_CHARACTERS)
        cut = bool(file.read(1))
    if cut and b"\n" in sample:
        sample = sample[: sample.rindex(b"\n") + 1]
    return sample.decode("utf-8", errors="ignore")


def row_widths(sample: str, delimiter: str) -> list[int]:
    """The number of values in each of the first rows."""
    widths = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if row:
                widths.append(len(row))
                if len(widths) >= SAMPLE_ROWS:
                    break
    except csv.Error:
        return []
    return widths
