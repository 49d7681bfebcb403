"""Charts of a data set: how long prompts, answers and conversations are, and how many turns they have."""

from llm_studio.charts.spec import ChartSpec, Mark, Series
from llm_studio.data.statistics import Lengths, Statistics

CLOSE = 0.08
"""Two marks closer than this share of the axis would write over each other."""


def length_chart(name: str, title: str, lengths: Lengths, unit: str, colour: int) -> ChartSpec:
    """A histogram: one bar per range of lengths, the last one holding everything longer."""
    starts, ends = lengths.edges[:-1], lengths.edges[1:]
    middles = tuple((start + end) / 2 for start, end in zip(starts, ends, strict=True))
    last = len(middles) - 1
    hover = tuple(
        f"{start:,.0f} {'or more' if index == last else f'to {end - 1:,.0f}'} {unit}: {count:,} rows"
        for index, (start, end, count) in enumerate(zip(starts, ends, lengths.counts, strict=True))
    )
    marks = [Mark(x=lengths.median, text="median")]
    if lengths.percentile_95 - lengths.median > CLOSE * (ends[-1] - starts[0]):
        marks.append(Mark(x=lengths.percentile_95, text="95 %"))
    series = Series(name="rows", x=middles, y=tuple(lengths.counts), colour=colour, hover=hover)
    return ChartSpec(
        id=f"{name}-{lengths.total}",
        title=title,
        x_title=unit,
        y_title="rows",
        series=(series,),
        kind="bar",
        marks=tuple(marks),
    )


def token_charts(statistics: Statistics) -> tuple[ChartSpec, ...]:
    """Prompt, answer and whole conversation in tokens."""
    parts = (
        ("prompt", "Prompt length", statistics.prompt_tokens),
        ("answer", "Answer length", statistics.answer_tokens),
        ("conversation", "Conversation length", statistics.conversation_tokens),
    )
    return tuple(
        length_chart(name, title, lengths, "tokens", index) for index, (name, title, lengths) in enumerate(parts)
    )


def turns_chart(statistics: Statistics) -> ChartSpec:
    """Answers per conversation."""
    return ChartSpec(
        id="turns",
        title="Answers per conversation",
        x_title="answers",
        y_title="rows",
        series=(Series(name="rows", x=tuple(statistics.turns), y=tuple(statistics.turns.values()), colour=3),),
        kind="bar",
    )
