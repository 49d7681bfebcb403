"""How many rows, and how many answers, a length limit cuts: a curve over limits."""

import numpy as np

from llm_studio.charts.spec import ChartSpec, Mark, Series
from llm_studio.tokens.lengths import CurvePoint, TokenLengths

STEPS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768, 65536)


def limits(lengths: TokenLengths, most: int) -> tuple[int, ...]:
    """Limits worth drawing: the usual ones up to the first that cuts nothing, and that one, none above `most`."""
    longest = int(lengths.total.max(initial=32))
    whole = min(max(32, -(-longest // 32) * 32), most)
    return tuple(sorted({*(step for step in STEPS if step < whole), whole}))


def suggested(lengths: TokenLengths, most: int) -> tuple[int, ...]:
    """Limits to choose from: what half, 95 %, 99 % and all of the rows fit into, rounded up to 32 tokens."""
    if not len(lengths):
        return ()
    found = [int(np.ceil(np.quantile(lengths.total, share) / 32) * 32) for share in (0.5, 0.95, 0.99, 1.0)]
    return tuple(sorted({min(max(32, value), most) for value in found}))


def truncation_chart(points: list[CurvePoint], rows: int, limit: int, click: str) -> ChartSpec:
    """Rows and answers cut at each limit; a click on a point opens `click` with "{x}" as the limit."""
    share = [
        100 / max(rows, 1) * np.array([getattr(point, name) for point in points])
        for name in ("rows_cut", "answers_cut")
    ]
    x = tuple(float(point.max_length) for point in points)

    def series(name: str, values: np.ndarray, counts: list[int], colour: int) -> Series:
        hover = tuple(f"{int(at):,} tokens: {count:,} of {rows:,} {name}" for at, count in zip(x, counts, strict=True))
        return Series(
            name=name, x=x, y=tuple(float(value) for value in values), colour=colour, hover=hover, markers=True
        )

    return ChartSpec(
        id=f"truncation-{rows}-{x[-1] if x else 0}",
        title="What a limit cuts",
        x_title="longest conversation, tokens",
        y_title="% of the rows",
        log_x=True,
        series=(
            series("rows longer than this", share[0], [point.rows_cut for point in points], 0),
            series("answers cut or lost", share[1], [point.answers_cut for point in points], 1),
        ),
        marks=(Mark(x=float(limit), text=f"{limit:,}"),),
        click=click,
        hint="Click a point to set the limit.",
    )
