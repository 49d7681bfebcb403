"""The figures of a data set: lengths in tokens, turns, repeated rows, missing values."""

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.charts.dataset_charts import token_charts, turns_chart
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.modeling.backbones import list_backbones
from llm_studio.ui import build, draw, words
from llm_studio.ui.page import Card, Context, Event

Body = tuple[str, ...]
"""Names of the backbones on this machine."""


def load(ctx: Context, view: DatasetView) -> Body:
    """The view has all figures; here are the backbones to count with."""
    return tuple(backbone.name for backbone in list_backbones(allowed_folders(ctx.store)))


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """While they are counted."""
    return 1.0 if is_active(view.counting) else None


def cards(view: DatasetView, body: Body) -> list[Card]:
    """Figures and histograms; while they are counted, how far that is."""
    found = view.statistics
    job = view.counting
    found_cards: list[Card] = []
    if job is not None and is_active(job):
        items = build.progress("counting", job.message or "Waiting for the worker to start", job.progress)
        found_cards.append(build.form("main", "counting_card", items))
    elif job is not None and job.status == "failed" and job.error:
        found_cards.append(
            build.form(
                "main", "counting_card", [build.error_bar(job.error), build.row(build.button("count", "Try again"))]
            )
        )
    elif found is None:
        found_cards.append(
            build.form("main", "counting_card", build.empty("Not counted yet.", "Count now", action="count"))
        )
    if found is None:
        return found_cards
    answers, whole = found.answer_tokens, found.conversation_tokens
    tiles = [
        ("Mean conversation", f"{whole.mean:,.0f} tokens", f"median {whole.median:,.0f}"),
        ("Longest", f"{whole.longest:,} tokens", f"row {whole.longest_row + 1:,}"),
        ("Mean answer", f"{answers.mean:,.0f} tokens", f"{100 * answers.total / max(whole.total, 1):.0f} % is learned"),
        ("Repeated rows", words.count(found.duplicate_rows), "equal in every column"),
        ("Empty prompts", words.count(found.empty_prompts), ""),
    ]
    chosen = ui.dropdown(
        name="count_with",
        label="Tokens of the backbone",
        value=found.tokenizer,
        choices=[ui.choice(name, name) for name in dict.fromkeys((*body, found.tokenizer))],
        tooltip="Whose tokenizer counts. Another one counts all rows anew.",
        trigger=True,
        width="320px",
    )
    found_cards.append(build.form("top", "statistics_choice", [chosen]))
    found_cards.append(build.stats("statistics_tiles", tiles))
    hint = f"Text alone, counted with the {found.tokenizer} tokenizer; a chat template adds a few tokens per message."
    for spec in token_charts(found):
        whole_chart = spec.title.startswith("Conversation")
        zone, more = ("main", hint) if whole_chart else ("grid", "")
        found_cards.append(draw.chart_card(zone, f"{spec.title.split()[0].lower()}_card", spec, hint=more))
    if set(found.turns) != {"1"}:
        found_cards.append(draw.chart_card("wide", "turns_card", turns_chart(found)))
    missing = [(name, words.count(count)) for name, count in found.missing.items()]
    items = [build.heading("Missing or empty values"), build.pairs("missing_values", missing)]
    found_cards.append(build.form("wide", "missing_card", items))
    return found_cards


def count(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Counts the statistics anew."""
    actions.start_statistics(ctx.store, args[0])


def count_with(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Counts with the tokenizer of another backbone."""
    chosen = str(ctx.draft.pop("count_with", "") or event.value or "")
    shown = actions.show(ctx.store, args[0]).statistics
    if chosen and (shown is None or chosen != shown.tokenizer):
        actions.start_statistics(ctx.store, args[0], chosen)


ACTIONS = {"count": count, "count_with": count_with}
