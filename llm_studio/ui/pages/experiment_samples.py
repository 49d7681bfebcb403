"""The predictions of an experiment: what was asked, expected, said before tuning and said now."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from h2o_wave import ui

from llm_studio.actions.predictions import Order, Pair, PredictionPage, one_prediction, predictions_page
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, panel, stay
from llm_studio.ui.tables import Column, Row, paged_table

PAGE_SIZE = 15
ORDERS: dict[str, Order] = {"row": "row", "bleu": "bleu", "exact": "exact_match", "judged": "judged", "nll": "nll"}
COLUMNS = (
    Column(name="row", label="Row", kind="link", width="48px"),
    Column(name="prompt", label="Prompt", width="210px", sortable=False),
    Column(name="target", label="Expected", width="165px", sortable=False),
    Column(name="before", label="Before tuning", width="165px", sortable=False),
    Column(name="output", label="Now", width="165px", sortable=False),
    Column(name="exact", label="Right", width="60px"),
    Column(name="bleu", label="BLEU", kind="number", width="60px"),
    Column(name="nll", label="Nats/token", kind="number", width="90px"),
)
JUDGED_COLUMNS = (
    Column(name="row", label="Row", kind="link", width="48px"),
    Column(name="prompt", label="Prompt", width="140px", sortable=False),
    Column(name="target", label="Expected", width="125px", sortable=False),
    Column(name="before", label="Before tuning", width="125px", sortable=False),
    Column(name="output", label="Now", width="125px", sortable=False),
    Column(name="exact", label="Right", width="60px"),
    Column(name="bleu", label="BLEU", kind="number", width="50px"),
    Column(name="judged", label="Judge", kind="number", width="55px"),
    Column(name="reason", label="Its reason", width="240px", sortable=False),
)
"""Where a judge was asked, its reason takes the place of the nats, which a row tells when it is opened."""


@dataclass(frozen=True)
class Body:
    """One page of rows. only: "", "right" or "wrong"."""

    page: PredictionPage
    only: str


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Reads the chosen page; parsed files stay in memory."""
    only = ctx.query.get("only", "")
    only = only if only in ("right", "wrong") else ""
    step = str(ctx.draft.get("evaluation") or "")
    return Body(
        page=predictions_page(
            ctx.home.experiment(record.id),
            step=int(step) if step.isdigit() else None,
            offset=int(ctx.state.get("offset", 0)),
            limit=PAGE_SIZE,
            order=ctx.state.get("order", "row"),
            descending=bool(ctx.state.get("descending", False)),
            only=cast(Any, only),
            search=str(ctx.state.get("search", "")),
        ),
        only=only,
    )


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """Filters and the table, or what will come."""
    page = body.page
    if page.step is None:
        said = "Predictions appear here after the first evaluation: the untouched backbone's answers come first."
        if record.status not in ("queued", "running"):
            said = "This experiment ended before an evaluation, so there are no predictions."
        yield build.form("main", "no_samples", build.empty(said, name="no_predictions"))
        return
    address = f"#experiment/{record.id}/samples"
    filters = [
        (f"All {words.count(page.rows)}", address),
        (f"Exactly right {words.count(page.right)}", f"{address}?only=right"),
        (f"Not exactly right {words.count(page.wrong)}", f"{address}?only=wrong"),
    ]
    current = f"{address}?only={body.only}" if body.only else address
    choices = [ui.choice(name=str(step), label=label(step, page.steps)) for step in reversed(page.steps)]
    evaluation = ui.dropdown(
        name="evaluation",
        label="",
        value=str(page.step),
        choices=choices,
        trigger=True,
        width="240px",
        tooltip="Predictions of every evaluation are kept. Choose which one is shown.",
    )
    yield build.form(
        "main",
        "samples_card",
        [
            ui.inline(items=[build.chips("only", filters, current), evaluation], justify="between", align="center"),
            paged_table(
                "samples",
                JUDGED_COLUMNS if page.judged else COLUMNS,
                [row(pair) for pair in page.pairs],
                total=page.total,
                page_size=PAGE_SIZE,
                height="720px",
            ),
        ],
    )


def label(step: int, steps: tuple[int, ...]) -> str:
    """An evaluation in words."""
    if step == 0:
        return "Before tuning"
    return f"Step {words.count(step)}, the last one" if step == steps[-1] else f"Step {words.count(step)}"


def row(pair: Pair) -> Row:
    """One line of the table; rows are counted from 1 for people."""
    now = pair.now
    return Row(
        name=str(now.row),
        cells={
            "row": str(now.row + 1),
            "prompt": now.prompt,
            "target": now.target,
            "before": pair.before.output if pair.before else "",
            "output": now.output,
            "exact": "–" if now.exact_match is None else "right" if now.exact_match else "wrong",
            "bleu": "–" if now.bleu is None else words.score(now.bleu, 1),
            "nll": words.score(now.nats_per_token),
            "judged": words.score(now.judged),
            "reason": now.judge_reason or "",
        },
    )


def samples(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Pages, searches and sorts; a row opens beside the page."""
    if event.kind == "click":
        return whole(ctx, args, event)
    value = event.value if isinstance(event.value, dict) else {}
    if event.kind == "page_change":
        ctx.state["offset"] = int(value.get("offset", 0))
    elif event.kind == "search":
        ctx.state |= {"search": str(value.get("value", "")), "offset": 0}
    elif event.kind == "sort":
        name, ascending = next(iter(value.items()), ("row", True))
        ctx.state |= {"order": ORDERS.get(name, "row"), "descending": not ascending, "offset": 0}
    elif event.kind == "reset":
        ctx.state.clear()
    return stay()


def whole(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Shows one row in full."""
    step = str(ctx.draft.get("evaluation") or "")
    pair = one_prediction(ctx.home.experiment(args[0]), int(event.target), int(step) if step.isdigit() else None)
    if pair is None:
        raise UserError("This row is not there any more.", fix="Choose another one.")
    now = pair.now
    parts = [("Prompt", now.prompt), ("Expected", now.target)]
    if pair.before is not None:
        parts.append(("Before tuning", pair.before.output))
    parts.append(("Now", now.output))
    if now.judge_reason is not None:
        parts.append(("What the judge says", now.judge_reason))
    shown = "".join(
        f'<section class="ls-field"><h3 class="ls-field-name">{text.markup(title)}</h3>{text.lines(content)}</section>'
        if content
        else f'<section class="ls-field"><h3 class="ls-field-name">{text.markup(title)}</h3>'
        '<span class="ls-missing">nothing</span></section>'
        for title, content in parts
    )
    scores = [
        ("Exactly right", "–" if now.exact_match is None else "yes" if now.exact_match else "no"),
        *judge_scores(pair),
        ("BLEU of this row", "–" if now.bleu is None else words.score(now.bleu, 1)),
        ("BLEU before tuning", words.score(pair.before.bleu, 1) if pair.before else "–"),
        ("Nats per token of the expected answer", words.score(now.nats_per_token)),
    ]
    return panel(
        f"Row {now.row + 1}",
        ui.markup(name="whole_row", content=shown),
        build.pairs("row_scores", scores),
        build.row(build.button("close", "Close")),
    )


def judge_scores(pair: Pair) -> list[tuple[str, str]]:
    """What the judge gave, as far as it was asked."""
    asked = [("Judge", pair.now), *([("Judge before tuning", pair.before)] if pair.before else [])]
    return [(title, words.score(one.judged)) for title, one in asked if one.judge_reason is not None]


ACTIONS = {"samples": samples, "evaluation": lambda ctx, args, event: stay()}
