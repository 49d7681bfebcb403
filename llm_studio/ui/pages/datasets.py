"""The list of data sets: what there is, what uses it, what to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.data.layouts import all_layouts
from llm_studio.starter import SAMPLES
from llm_studio.store import DatasetRecord, JobRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, dialog, go, stay
from llm_studio.ui.pages import dataset_merge
from llm_studio.ui.pages.import_source import unfinished_items
from llm_studio.ui.tables import Column, Row, table

COLUMNS = (
    Column(name="name", label="Name", kind="link", width="220px"),
    Column(name="rows", label="Rows", kind="number", width="70px"),
    Column(name="validation", label="Validation rows", kind="number", width="120px"),
    Column(name="size", label="Size", kind="number", width="70px"),
    Column(name="layout", label="Layout", width="190px"),
    Column(name="used_by", label="Used by", width="110px"),
    Column(name="imported", label="Imported", width="110px"),
    Column(
        name="menu",
        label="",
        kind="menu",
        width="48px",
        commands=(
            ("open", "Open"),
            ("new_experiment", "New experiment"),
            ("ask_rename", "Rename"),
            ("duplicate", "Duplicate"),
            ("ask_merge", "Merge with another"),
            ("ask_delete", "Delete"),
        ),
    ),
)


@dataclass(frozen=True)
class Data:
    """Data sets, newest first, with the number of experiments on each; imports that are not finished."""

    records: tuple[DatasetRecord, ...]
    used_by: dict[str, int]
    unfinished: tuple[JobRecord, ...]


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Two short queries."""
    used_by: dict[str, int] = {}
    for experiment in ctx.store.experiments.list():
        used_by[experiment.dataset_id] = used_by.get(experiment.dataset_id, 0) + 1
    return Data(tuple(ctx.store.datasets.list()), used_by, tuple(actions.open_imports(ctx.store)))


def cards(data: Data) -> Sequence[Card]:
    """The table, or what to do when there is nothing yet."""
    if not data.records:
        found = [build.header("Datasets"), build.form("main", "empty_page", empty_items())]
    else:
        found = [
            build.header("Datasets", action=build.primary("#import", "Import data")),
            build.form("main", "list_card", [table("datasets", COLUMNS, [row(one, data) for one in data.records])]),
        ]
    if data.unfinished:
        found.append(build.form("wide", "unfinished_card", unfinished_items(data.unfinished)))
    return found


def empty_items() -> list[Any]:
    """One sentence, one button, and the first sample in one click."""
    said = "No data sets yet. A data set is a table of questions and answers, or a list of conversations."
    items = build.empty(said, "Import data", "#import")
    if SAMPLES:
        button = build.button(f"sample/{SAMPLES[0].name}", f"Or try the sample: {SAMPLES[0].title}")
        items.append(ui.inline(items=[button], justify="center"))
    return items


def row(record: DatasetRecord, data: Data) -> Row:
    """One line of the table."""
    users = data.used_by.get(record.id, 0)
    titles = {layout.name: layout.title for layout in all_layouts()}
    layout = str(record.settings.get("layout", ""))
    return Row(
        name=record.id,
        cells={
            "name": record.name,
            "rows": words.count(record.row_count),
            "validation": words.count(record.validation_rows),
            "size": words.size(record.size_bytes),
            "layout": titles.get(layout, layout),
            "used_by": words.plural(users, "experiment") if users else "",
            "imported": words.ago(record.created_at),
        },
    )


def sample(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Starts the import of a sample."""
    job = actions.start_import(ctx.store, {"kind": "starter", "name": event.target})
    return go(f"#import/{job.id}/columns")


def ask_rename(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for the new name."""
    record = ctx.store.datasets.get(event.target)
    ctx.draft["new_name"] = record.name
    return dialog(
        "Rename data set",
        ui.textbox(
            name="new_name", label="Name", value=record.name, tooltip="1 to 80 characters; shown in every list."
        ),
        build.row(build.primary(f"rename/{record.id}", "Rename"), build.button("close", "Cancel")),
    )


def rename(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Gives the new name."""
    actions.rename_dataset(ctx.store, event.target, str(ctx.draft.get("new_name", "")))
    return stay("Renamed.")


def ask_delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks once and says what goes; says at once when an experiment uses it."""
    record = ctx.store.datasets.get(event.target)
    actions.check_unused(ctx.store, record.id)
    said = f"Its {words.plural(record.row_count, 'row')} and figures ({words.size(record.size_bytes)}) are removed."
    return dialog(
        f"Delete {record.name}?",
        build.paragraph(f"{said} The file you imported it from is not touched. This cannot be undone."),
        build.row(build.button(f"delete/{record.id}", "Delete data set"), build.button("close", "Keep")),
    )


def delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Deletes it."""
    actions.delete_dataset(ctx.store, event.target)
    return go("#datasets", "Deleted.")


def ask_cancel(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks before an unfinished import is thrown away."""
    return dialog(
        "Discard this import?",
        build.paragraph("What was read so far is removed. The file itself is not touched."),
        build.row(build.button(f"delete_import/{event.argument}", "Discard"), build.button("close", "Keep")),
    )


def cancel(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Throws an unfinished import away."""
    actions.cancel_import(ctx.store, event.argument)
    return stay("The import was discarded.")


PAGE = Page(
    route="datasets",
    title="Datasets",
    section="datasets",
    load=load,
    cards=cards,
    refresh_seconds=2.0,
    crumbs=lambda data: [Crumb("Datasets")],
    actions={
        "datasets": lambda ctx, args, event: go(f"#dataset/{event.target}/rows"),
        "open": lambda ctx, args, event: go(f"#dataset/{event.target}/rows"),
        "new_experiment": lambda ctx, args, event: go(f"#new/{event.target}"),
        "sample": sample,
        "ask_rename": ask_rename,
        "rename": rename,
        "ask_delete": ask_delete,
        "delete": delete,
        "delete_draft": ask_cancel,
        "delete_import": cancel,
        **dataset_merge.ACTIONS,
    },
)
