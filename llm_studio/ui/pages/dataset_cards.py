"""The cards of one data set, tab by tab."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.charts.dataset_charts import token_charts, turns_chart
from llm_studio.data.conversations import conversation_at
from llm_studio.data.prepare import Preview
from llm_studio.data.staging import make_settings
from llm_studio.data.types import Cells, Conversation, RowError
from llm_studio.errors import UserError
from llm_studio.ui import build, draw, text, words
from llm_studio.ui.page import Card
from llm_studio.ui.pages import conversation_view, dataset_form
from llm_studio.ui.pages.import_cards import preview_items
from llm_studio.ui.tables import Column, Row, paged_table, table

TABS = {
    "rows": "Rows",
    "conversations": "Conversations",
    "statistics": "Statistics",
    "columns": "Columns and split",
    "used-by": "Used by",
}
SHOWN_COLUMNS = 8
TABLE_PIXELS = 960
PIXELS_PER_CHARACTER = 7


def head(view: DatasetView, tab: str) -> list[Card]:
    """Name, main action, figures and tabs."""
    record = view.record
    address = f"#dataset/{record.id}"
    tokens = view.statistics.conversation_tokens.total if view.statistics else None
    more = [build.button(f"ask_rename/{record.id}", "Rename"), build.button(f"delete_ask/{record.id}", "Delete")]
    tiles = [
        ("Rows", words.count(record.row_count), words.size(record.size_bytes)),
        ("To learn from", words.count(record.train_rows), ""),
        ("Validation", words.count(record.validation_rows), own_or_share(view)),
        ("Tokens", words.short_count(tokens), "of the text, starter tokenizer" if tokens else "not counted yet"),
        ("Used by", words.plural(len(view.experiments), "experiment"), ""),
    ]
    subtitle = f"{record.source} · imported {words.ago(record.created_at)}"
    return [
        build.header(
            record.name, subtitle=subtitle, action=build.primary(f"#new/{record.id}", "New experiment"), more=more
        ),
        build.stats("figures", tiles),
        build.tabs("sections", [(label, f"{address}/{name}") for name, label in TABS.items()], f"{address}/{tab}"),
    ]


def own_or_share(view: DatasetView) -> str:
    """Where the validation rows come from."""
    if view.dataset.split.own_file:
        return f"from {view.record.settings.get('validation_dataframe') or 'a file of its own'}"
    total = view.record.train_rows + view.record.validation_rows
    return f"{100 * view.record.validation_rows / max(total, 1):.1f} % of the rows"


def rows_card(view: DatasetView, rows: Sequence[tuple[int, Cells]], total: int, page_size: int, search: str) -> Card:
    """A page of rows as the file held them; the number opens the whole row."""
    names = view.dataset.columns[:SHOWN_COLUMNS]
    width = max(150, TABLE_PIXELS // max(len(names), 1))
    columns = [
        Column(name="number", label="Row", kind="link", width="70px", sortable=False, searchable=False),
        *(Column(name=f"c{index}", label=name, width=f"{width}px", sortable=False) for index, name in enumerate(names)),
    ]
    shown = [
        Row(
            name=str(number),
            cells={
                "number": words.count(number + 1),
                **{f"c{index}": cell(cells[name], width // PIXELS_PER_CHARACTER) for index, name in enumerate(names)},
            },
        )
        for number, cells in rows
    ]
    items: list[Any] = []
    hidden = len(view.dataset.columns) - len(names)
    if hidden:
        items.append(build.paragraph(f"{words.plural(hidden, 'more column')} in each row: open it.", quiet=True))
    if search:
        items.append(build.paragraph(f"{words.plural(total, 'row')} with “{search}”.", name="hits", quiet=True))
    items.append(paged_table("rows", columns, shown, total=total, page_size=page_size, height="620px"))
    return build.form("main", "rows_card", items)


def cell(value: str | None, most: int) -> str:
    """A value in a table, cut to what fits; a missing one is marked."""
    return "–" if value is None else text.cell(value[: 4 * most], most)


def row_items(view: DatasetView, index: int, cells: Cells) -> list[Any]:
    """One row in full: every value as the file held it, and the conversation it becomes."""
    parts = []
    for name, value in cells.items():
        held = '<p class="ls-missing">missing</p>' if value is None else text.lines(pretty(value))
        if value == "":
            held = '<p class="ls-missing">empty text</p>'
        parts.append(f'<div class="ls-field"><p class="ls-field-name">{text.markup(name)}</p>{held}</div>')
    try:
        conversation = conversation_at(view.dataset.table, index, view.dataset.settings)
        shown = conversation_view.conversation_markup(conversation, title="As the model gets it")
    except RowError as error:
        shown = f'<p class="ls-missing">Left out: {text.markup(error.reason)}.</p>'
    split = view.dataset.split
    part = "Held out for validation" if index in set(split.validation) and not split.own_file else "Learned from"
    if index in set(split.left_out):
        part = "Left out"
    return [
        build.paragraph(part + ".", quiet=True),
        ui.markup(name="row_conversation", content=shown),
        ui.markup(name="row_values", content="".join(parts)),
    ]


def pretty(value: str) -> str:
    """Lists and objects with line breaks, text as it is."""
    if value[:1] not in "[{":
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except ValueError:
        return value


def conversations_card(
    view: DatasetView, shown: Sequence[Conversation], part: str, offset: int, total: int, size: int
) -> Card:
    """Some conversations of one part with the way to the next ones."""
    address = f"#dataset/{view.record.id}/conversations"
    chips = [("To learn from", f"{address}?part=train"), ("Validation", f"{address}?part=validation")]
    last = min(offset + size, total)
    said = f"{offset + 1:,} to {last:,} of {total:,}" if total else "There are none."
    around = []
    if offset > 0:
        around.append(build.button(f"{address}?part={part}&from={max(offset - size, 0)}", "Previous"))
    if last < total:
        around.append(build.button(f"{address}?part={part}&from={last}", "Next"))
    return build.form(
        "main",
        "conversations_card",
        [
            build.chips("parts", chips, f"{address}?part={part}"),
            conversation_view.conversations("conversation_list", shown),
            build.row(build.paragraph(said, quiet=True), *around),
        ],
    )


def statistics_cards(view: DatasetView) -> list[Card]:
    """Figures and histograms; while they are counted, how far that is."""
    found = view.statistics
    job = view.counting
    cards: list[Card] = []
    if job is not None and is_active(job):
        items = build.progress("counting", job.message or "Waiting for the worker to start", job.progress)
        cards.append(build.form("main", "counting_card", items))
    elif job is not None and job.status == "failed" and job.error:
        cards.append(
            build.form(
                "main", "counting_card", [build.error_bar(job.error), build.row(build.button("count", "Try again"))]
            )
        )
    elif found is None:
        cards.append(build.form("main", "counting_card", build.empty("Not counted yet.", "Count now", action="count")))
    if found is None:
        return cards
    answers, whole = found.answer_tokens, found.conversation_tokens
    tiles = [
        ("Mean conversation", f"{whole.mean:,.0f} tokens", f"median {whole.median:,.0f}"),
        ("Longest", f"{whole.longest:,} tokens", f"row {whole.longest_row + 1:,}"),
        ("Mean answer", f"{answers.mean:,.0f} tokens", f"{100 * answers.total / max(whole.total, 1):.0f} % is learned"),
        ("Repeated rows", words.count(found.duplicate_rows), "equal in every column"),
        ("Empty prompts", words.count(found.empty_prompts), ""),
    ]
    cards.append(build.stats("statistics_tiles", tiles))
    hint = f"Text alone, counted with the {found.tokenizer} tokenizer; a chat template adds a few tokens per message."
    for spec in token_charts(found):
        whole_chart = spec.title.startswith("Conversation")
        zone, more = ("main", hint) if whole_chart else ("grid", "")
        cards.append(draw.chart_card(zone, f"{spec.title.split()[0].lower()}_card", spec, hint=more))
    if set(found.turns) != {"1"}:
        cards.append(draw.chart_card("wide", "turns_card", turns_chart(found)))
    missing = [(name, words.count(count)) for name, count in found.missing.items()]
    items = [build.heading("Missing or empty values"), build.pairs("missing_values", missing)]
    cards.append(build.form("wide", "missing_card", items))
    return cards


def columns_cards(
    view: DatasetView,
    changes: Mapping[str, Any],
    shown: Preview | None,
    problem: dict[str, str] | None,
    typed: Mapping[str, Any],
    *,
    leave_out: bool,
) -> list[Card]:
    """The form with changes that are not saved yet, and what they would do."""
    dataset = view.dataset
    try:
        settings = make_settings({**dataset.settings.model_dump(), **changes})
    except UserError:
        settings = dataset.settings
    busy = [one for one in view.experiments if one.status in ("queued", "running")]
    left_out = shown.left_out if shown else 0
    form: list[Any] = []
    if busy:
        said = f"{busy[0].name} is {busy[0].status} on this data set, so columns and split cannot change now."
        form.append(build.finding_bar("note", said, fix="Wait until it has ended, or stop it.", name="busy"))
    form += dataset_form.fields(settings, dataset.column_facts(), typed)
    form += [
        ui.checkbox(
            name="consent",
            label=f"Leave out {words.plural(left_out, 'row')} that cannot be used",
            value=leave_out,
            tooltip="The rows stay in the data set, but no experiment reads them.",
            trigger=True,
            visible=left_out > 0,
        ),
        build.row(
            build.button(
                "save", "Save columns and split", disabled=bool(busy) or not (changes or typed.get("consent"))
            ),
            build.button("drop", "Undo changes", disabled=not changes),
        ),
        build.paragraph("A new split gives new scores: finished experiments keep the ones they have.", quiet=True),
    ]
    side = preview_items(shown, problem)
    if shown is not None:
        sizes = f"{shown.train_rows:,} rows to learn from, {shown.validation_rows:,} held out"
        sizes += f", {shown.left_out:,} left out." if shown.left_out else "."
        side = [
            build.paragraph(sizes, name="sizes"),
            *conversation_view.problem_bars(shown.problems, consent=leave_out),
            *side,
        ]
    return [build.form("main", "columns_card", form), build.form("side", "preview_card", side)]


def used_by_card(view: DatasetView) -> Card:
    """The experiments on this data set."""
    if not view.experiments:
        items = build.empty("No experiment uses this data set yet.", "New experiment", f"#new/{view.record.id}")
        return build.form("main", "used_by_card", items)
    columns = [
        Column(name="name", label="Experiment", kind="link", width="220px"),
        Column(name="status", label="Status", kind="status", width="110px"),
        Column(name="backbone", label="Backbone", width="180px"),
        Column(name="rows", label="Split", width="150px"),
        Column(name="started", label="Started", width="120px"),
    ]
    rows = [
        Row(
            name=one.id,
            cells={
                "name": one.name,
                "status": one.status,
                "backbone": one.backbone,
                "rows": "as it is now" if one.dataset_fingerprint == view.record.fingerprint else "an earlier one",
                "started": words.ago(one.started_at or one.created_at),
            },
        )
        for one in view.experiments
    ]
    return build.form("main", "used_by_card", [table("experiments", columns, rows)])
