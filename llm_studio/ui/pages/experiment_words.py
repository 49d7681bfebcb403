"""Says in words how an experiment stands: what happens now, what it scored, what tuning changed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from llm_studio.store import ExperimentRecord
from llm_studio.store.rounds import Round
from llm_studio.ui import words

METRICS = ("perplexity", "bleu", "exact_match", "gpt")
TITLES = {
    "validation_loss": "Loss",
    "perplexity": "Perplexity",
    "bleu": "BLEU",
    "exact_match": "Exact match",
    "gpt": "Judge",
}
HINTS = {
    "validation_loss": "nats per answer token, lower is better",
    "perplexity": "lower is better, 1 is perfect",
    "bleu": "0 to 100, higher is better",
    "exact_match": "share of answers exactly right",
    "gpt": "mean grade of the answers, 0 to 1, higher is better",
}
LOWER_IS_BETTER = ("validation_loss", "perplexity")
MOMENTS = {"before": "Before tuning", "last": "Last", "best": "Best"}


def score(metric: str, value: Any) -> str:
    """A score as people read it: exact match in percent, BLEU with one digit, a small perplexity with three."""
    if not isinstance(value, int | float):
        return "–"
    if metric == "exact_match":
        return words.percent(value, 0)
    if metric == "perplexity" and value >= 10:
        return words.score(value, 1) if value < 1000 else words.short_count(value)
    return f"{value:.1f}" if metric == "bleu" else words.score(value)


def kept(record: ExperimentRecord) -> tuple[str, dict[str, Any]]:
    """The scores of the weights that one gets, and which moment they are of: "best", "last" or, so far, "before"."""
    for moment in ("best", "last", "before"):
        if record.scores.get(moment):
            return moment, record.scores[moment]
    return "", {}


def change(record: ExperimentRecord) -> str:
    """What tuning changed, in one sentence; empty until there is something to compare."""
    before = record.scores.get("before") or {}
    moment, now = kept(record)
    if not before or moment in ("", "before"):
        return ""
    parts = []
    for metric in ("gpt", "bleu", "exact_match", "perplexity"):
        first, second = before.get(metric), now.get(metric)
        known = isinstance(first, int | float) and isinstance(second, int | float)
        if known and score(metric, first) != score(metric, second):
            name = TITLES[metric] if metric == "bleu" else TITLES[metric].lower()
            parts.append(f"{name} {score(metric, first)} → {score(metric, second)}")
    rows = now.get("rows") or before.get("rows")
    on = f" on {words.count(rows)} held-out rows" if isinstance(rows, int) else " on held-out rows"
    answers = now.get("generated_rows")
    if isinstance(rows, int) and isinstance(answers, int) and answers < rows:
        on += f", of which {words.count(answers)} were answered for BLEU and exact match"
    judged = now.get("judged_rows")
    if isinstance(judged, int) and isinstance(answers, int) and judged < answers:
        on += f"; the judge graded {words.count(judged)} of the answers"
    sentence = ", ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}{on}." if parts else f"The scores are the same as before tuning{on}."


def better(metric: str, before: Any, now: Any) -> bool | None:
    """Whether a score got better; None when it did not change or is not known."""
    if not isinstance(before, int | float) or not isinstance(now, int | float) or before == now:
        return None
    return (now < before) == (metric in LOWER_IS_BETTER)


def ordinal(number: int) -> str:
    """1 -> "1st", 12 -> "12th"."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def now(record: ExperimentRecord, position: int = 0) -> str:
    """What happens now, for a queued or running one. position: its place in the queue, from 1."""
    if record.status == "queued":
        place = "Next in the queue" if position == 1 else f"{ordinal(position)} in the queue" if position else "Waiting"
        return f"{place}. {record.phase}" if record.phase else place
    if record.stop_requested:
        return "Stopping: saves a checkpoint after the current batch"
    return record.phase or "Running"


def left(record: ExperimentRecord) -> str:
    """The time that is left, in words; empty when it is not known."""
    if record.status != "running" or record.eta_seconds is None or record.stop_requested:
        return ""
    return f"{words.about(record.eta_seconds)} left"


def took(record: ExperimentRecord) -> str:
    """How long it ran."""
    if record.started_at is None or record.ended_at is None:
        return ""
    return words.duration(record.ended_at - record.started_at)


def backbone(record: ExperimentRecord) -> str:
    """The backbone's name without the folders before it."""
    return record.backbone.rstrip("/").rsplit("/", 1)[-1] if record.backbone.startswith(("/", "~")) else record.backbone


def epochs(rounds: Sequence[Round]) -> str:
    """ "2 + 0.5 + 1": of the first round, of those after it as far as they came, and of the last as planned."""
    begun = [0.0, *(one.epoch for one in rounds)]
    parts = [after - before for before, after in pairwise(begun)] + [float(rounds[-1].epochs)]
    return " + ".join(f"{part:g}" for part in parts)
