"""What the length limit of a new experiment does to its rows: said before the start, never found after it."""

from llm_studio.config import BackboneFacts, ExperimentConfig, Finding
from llm_studio.tokens.lengths import TokenLengths, truncation_curve
from llm_studio.ui import words

WHERE = "tokenizer.max_length"
HAPPENS = {
    "drop": "left out",
    "oldest_turns": "shortened by their oldest turns, or left out where that is not enough",
    "cut": "cut",
}


def findings(lengths: TokenLengths, config: ExperimentConfig, facts: BackboneFacts | None) -> tuple[Finding, ...]:
    """Rows that would learn nothing, and rows that are longer than the limit."""
    settings = config.tokenizer
    limit = min(settings.max_length, (facts.context_length if facts else None) or settings.max_length)
    training = lengths.of_part("train")
    if not len(training):
        return ()
    point = truncation_curve(training, [limit], truncation=settings.truncation, side=settings.truncation_side)[0]
    longest = int(training.total.max())
    fix = f"Raise the longest conversation to {-(-longest // 32) * 32:,} tokens, or see what the model sees."
    if facts and facts.context_length and longest > facts.context_length:
        fix = f"Raise the limit; the backbone reads at most {facts.context_length:,} tokens. See what the model sees."
    if len(point.unlearned) == len(training):
        what = f"None of the {len(training):,} rows has anything to learn at {limit:,} tokens."
        return (Finding("error", WHERE, what, fix),)
    if point.unlearned:
        rows = ", ".join(f"{row + 1:,}" for row in point.unlearned[:5])
        more = f" and {len(point.unlearned) - 5:,} more" if len(point.unlearned) > 5 else ""
        count = words.plural(len(point.unlearned), "row")
        what = f"{count} of {len(training):,} would learn nothing at {limit:,} tokens: {rows}{more}."
        return (Finding("warning", WHERE, what, fix),)
    if point.rows_cut:
        happens = HAPPENS[settings.truncation]
        what = f"{words.plural(point.rows_cut, 'row')} longer than {limit:,} tokens will be {happens}."
        return (Finding("warning", WHERE, what, fix),)
    return ()
