"""What the model sees of a data set: for a backbone and a template, each token of a row, and what a limit would cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.actions import seeing
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.actions.seeing import Seen
from llm_studio.charts.length_charts import limits, suggested, truncation_chart
from llm_studio.config import ExperimentConfig, make_config, settings_by_path
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.data.dataset import Part
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import Backbone, list_backbones
from llm_studio.tokens.lengths import CurvePoint, TokenLengths, truncation_curve
from llm_studio.ui import build, draw, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, go
from llm_studio.ui.pages import new_state, token_view

PAGE_ROWS = 5
STARTER = "starter"
FIELDS = ("dataset.chat_template", "tokenizer.truncation")
PARTS: dict[Part, str] = {"train": "To learn from", "validation": "Validation", "test": "Last test"}


@dataclass(frozen=True)
class Body:
    """What the tab shows. problem: why nothing can be shown. offset: place of the first row in its part."""

    config: ExperimentConfig
    backbones: tuple[Backbone, ...]
    seen: Seen | None
    lengths: TokenLengths | None
    part: Part
    offset: int
    total: int
    problem: dict[str, str] | None = None


def load(ctx: Context, view: DatasetView) -> Body:
    """The rows of the address for the chosen backbone; the job that makes them is started when it is new."""
    part: Part = next((name for name in PARTS if name == ctx.query.get("part")), "train")
    rows = view.dataset.split.rows(part)
    offset = number(ctx.query.get("from"), 0, max(len(rows) - 1, 0))
    backbones = list_backbones(allowed_folders(ctx.store))
    changes: dict[str, Any] = {"llm_backbone": str(ctx.draft.get("sees/llm_backbone") or STARTER).strip()}
    for path in FIELDS:
        if ctx.draft.get(f"sees/{path}"):
            changes[path] = str(ctx.draft[f"sees/{path}"])
    config = make_config(changes)
    if limit := number(ctx.query.get("limit"), 0, 131072):
        config = config.with_changes({"tokenizer.max_length": max(32, limit)})
    try:
        check_folder(ctx, config.llm_backbone)
        shown = [int(row) for row in rows[offset : offset + PAGE_ROWS]]
        found = seeing.show_rows(ctx.store, view.record, config, part, shown)
    except UserError as error:
        return Body(config, backbones, None, None, part, offset, len(rows), error.as_dict())
    lengths = found.lengths or seeing.known_lengths(ctx.store, view.record, config)
    return Body(config, backbones, found, lengths, part, offset, len(rows))


def check_folder(ctx: Context, name: str) -> None:
    """Whether a folder that was typed may be read.

    Raises:
        UserError: it may not.
    """
    if "/" in name and name.startswith(("/", "~", ".")):
        from llm_studio.modeling.backbones import local_folder

        local_folder(name, allowed_folders(ctx.store))


def number(text_: str | None, default: int, most: int) -> int:
    """A whole number from an address, not above `most`."""
    return min(int(text_), most) if text_ and text_.isdecimal() else default


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """While the job works."""
    return 0.5 if body.seen is not None and is_active(body.seen.job) else None


def address(view: DatasetView, body: Body, **changes: object) -> str:
    """This tab with another part, place or limit."""
    query = {"part": body.part, "from": body.offset, "limit": body.config.tokenizer.max_length} | changes
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return f"#dataset/{view.record.id}/sees?{pairs}"


def cards(view: DatasetView, body: Body) -> list[Card]:
    """The choice, what the limit cuts, the rows as tokens."""
    found = [build.form("top", "sees_choice", choice_items(body))]
    if body.problem is not None:
        return [*found, build.form("main", "sees_problem", [build.error_bar(body.problem)])]
    if body.lengths is not None and len(body.lengths):
        found += limit_cards(view, body, body.lengths)
    assert body.seen is not None
    job = body.seen.job
    if is_active(job):
        waiting = job.message or "Waiting for the worker to start"
        items = build.progress("sees_job", waiting, job.progress, cancel=f"cancel_job/{job.id}")
        return [*found, build.form("wide", "sees_progress", items)]
    if job.status != "done":
        bar = build.error_bar(job.error or {"what": "Counting was cancelled.", "where": "", "fix": "Try again."})
        items = [bar, build.row(build.button(f"sees_again/{job.id}", "Try again"))]
        return [*found, build.form("wide", "sees_progress", items)]
    return [*found, tokens_card(view, body)]


def choice_items(body: Body) -> list[Any]:
    """Backbone, template and what happens to long rows."""
    infos = settings_by_path()
    values = {
        "dataset.chat_template": body.config.dataset.chat_template,
        "tokenizer.truncation": body.config.tokenizer.truncation,
    }
    names = [backbone.name for backbone in body.backbones]
    fields = [
        ui.combobox(
            name="sees/llm_backbone",
            label="Backbone",
            value=body.config.llm_backbone,
            choices=list(dict.fromkeys([*names, body.config.llm_backbone])),
            tooltip="The model whose tokenizer and chat template are used. Only its tokenizer is loaded.",
            trigger=True,
            width="320px",
        )
    ]
    for path, value in values.items():
        info = infos[path]
        fields.append(
            ui.dropdown(
                name=f"sees/{path}",
                label=info.title,
                value=str(value),
                choices=[ui.choice(str(one), str(one).replace("_", " ")) for one in info.choices or ()],
                tooltip=info.help,
                trigger=True,
                width="220px",
            )
        )
    return [ui.inline(items=fields, align="end")]


def limit_cards(view: DatasetView, body: Body, lengths: TokenLengths) -> list[Card]:
    """Figures at the chosen limit, the curve, and a way to use the limit."""
    seen = body.seen
    assert seen is not None
    limit = seen.max_length or body.config.tokenizer.max_length
    truncation, side = body.config.tokenizer.truncation, body.config.tokenizer.truncation_side
    training = lengths.of_part("train")
    at = limits(lengths, 131072)
    points = truncation_curve(training, at, truncation=truncation, side=side)
    here = truncation_curve(training, [limit], truncation=truncation, side=side)[0]
    tiles = [
        (
            "Longest row",
            f"{int(lengths.total.max()):,} tokens",
            f"half are below {int(sorted(lengths.total)[len(lengths) // 2]):,}",
        ),
        ("Learned", f"{100 * lengths.learned.sum() / max(int(lengths.total.sum()), 1):.0f} %", "of all tokens"),
        ("Limit", f"{limit:,} tokens", "longest conversation"),
        ("Longer than that", words.count(here.rows_cut), f"of {len(training):,} rows to learn from"),
        ("Learn nothing", words.count(len(here.unlearned)), "at this limit"),
    ]
    curve = truncation_chart(points, len(training), limit, address(view, body, limit="{x}"))
    chips = [(f"{value:,}", address(view, body, limit=value)) for value in sorted({*suggested(lengths, 131072), limit})]
    side_items = [
        build.heading("Limit", hint="What half, 95 %, 99 % and all of the rows fit into."),
        build.chips("limits", chips, address(view, body, limit=limit)),
        build.row(build.button(f"sees_use/{limit}", f"New experiment with {limit:,} tokens")),
        *unlearned_items(here, truncation),
        *([build.paragraph(template_words(seen), name="sees_template", quiet=True)] if seen.template else []),
    ]
    return [
        build.stats("sees_tiles", tiles),
        draw.chart_card("main", "sees_curve", curve, hint=curve.hint),
        build.form("side", "sees_limit", side_items),
    ]


def template_words(seen: Seen) -> str:
    """Which chat template is used, and why."""
    if seen.template == "backbone":
        return "The backbone's own chat template is used."
    return f"The template {seen.template} is used: {seen.reason}."


def unlearned_items(point: CurvePoint, truncation: str) -> list[Any]:
    """Rows that would learn nothing, listed."""
    if not point.unlearned:
        return [build.finding_bar("success", "Every row has something to learn at this limit.", name="sees_unlearned")]
    rows = ", ".join(f"{row + 1:,}" for row in point.unlearned[:10])
    more = len(point.unlearned) - min(len(point.unlearned), 10)
    what = f"{words.plural(len(point.unlearned), 'row')} would learn nothing at this limit."
    where = f"rows {rows}" + (f" and {more:,} more" if more else "")
    fix = "Choose a higher limit, or let long rows be cut." if truncation != "cut" else "Choose a higher limit."
    return [build.finding_bar("warning", what, where=where, fix=fix, name="sees_unlearned")]


def tokens_card(view: DatasetView, body: Body) -> Card:
    """The rows as tokens, with the way to the next ones."""
    seen = body.seen
    assert seen is not None
    shown = "".join(one_row(one) for one in seen.views)
    chips = [
        (title, address(view, body, part=part, **{"from": 0}))
        for part, title in PARTS.items()
        if part != "test" or len(view.dataset.split.test)
    ]
    last = min(body.offset + PAGE_ROWS, body.total)
    around: list[Any] = []
    if body.offset:
        before = address(view, body, **{"from": max(body.offset - PAGE_ROWS, 0)})
        around.append(build.button(before, "Previous"))
    if last < body.total:
        around.append(build.button(address(view, body, **{"from": last}), "Next"))
    said = f"{body.offset + 1:,} to {last:,} of {body.total:,}" if body.total else "There are none."
    current = address(view, body, **{"from": 0})
    items = [
        build.heading("Rows as tokens", hint="Rest the pointer on a token for its number."),
        build.chips("sees_parts", chips, current),
        token_view.key(),
        ui.markup(name="sees_rows", content=shown or "<p></p>"),
        build.row(build.paragraph(said, quiet=True), *around),
    ]
    return build.form("wide", "sees_tokens", items)


def one_row(view: Mapping[str, Any]) -> str:
    """Markup of a row, or of why the template refuses it."""
    if "error" in view:
        error = cast(Mapping[str, str], view["error"])
        words_ = " ".join(error.get(part, "") for part in ("what", "fix"))
        head = f"Row {int(view['row']) + 1:,} · refused by the template"
        return (
            f'<section class="ls-conversation"><h3 class="ls-conversation-head">{text.markup(head)}</h3>'
            f'<p class="ls-token-warning">{text.markup(words_)}</p></section>'
        )
    return token_view.token_markup(view)


def again(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Starts the job once more."""
    seeing.try_again(ctx.store, event.argument)


def use_limit(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Opens a new experiment with the backbone, the template and the limit of this page."""
    record = actions.show(ctx.store, args[0]).record
    changes: dict[str, Any] = {
        "llm_backbone": str(ctx.draft.get("sees/llm_backbone") or STARTER).strip(),
        "tokenizer.max_length": int(event.argument),
    }
    changes |= {path: ctx.draft[f"sees/{path}"] for path in FIELDS if ctx.draft.get(f"sees/{path}")}
    new_state.begin_with(record.id, changes)
    return go(f"#new/{record.id}")


def stay_here(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """A field was changed; `load` reads it."""


ACTIONS = {"sees": stay_here, "sees_again": again, "sees_use": use_limit}
