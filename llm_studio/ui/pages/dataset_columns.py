"""Columns and split of a data set: the form with changes that are not saved yet, and what they would do."""

from dataclasses import dataclass, field
from typing import Any

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.data import Dataset
from llm_studio.data.browse import browse_folder
from llm_studio.data.dataset import READING, ROWS
from llm_studio.data.prepare import Preview
from llm_studio.data.reading import Reading, rejected_path
from llm_studio.data.staging import make_settings
from llm_studio.errors import UserError
from llm_studio.store import JobRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Event, Outcome, download, stay
from llm_studio.ui.pages import conversation_view, dataset_form
from llm_studio.ui.pages.import_cards import preview_items, rejected_items

MOST_DOWNLOADED = 20_000


@dataclass(frozen=True)
class Body:
    """changes: settings that are not saved yet. shown: what they would do; problem: why they do not fit."""

    shown: Preview | None
    problem: dict[str, str] | None
    changes: dict[str, Any] = field(default_factory=dict)
    typed: dict[str, Any] = field(default_factory=dict)
    leave_out: bool = False


def load(ctx: Context, view: DatasetView) -> Body:
    """The settings with the changes that are not saved yet, and what they would do."""
    changes = dict(ctx.state.get("changes", {}))
    leave_out = bool(ctx.draft.get("consent", view.leave_out))
    shown, problem = None, None
    try:
        shown = actions.preview_settings(ctx.store, view.record.id, changes)
    except UserError as error:
        problem = error.as_dict()
    return Body(shown, problem, changes, dict(ctx.draft), leave_out)


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """While the rows are split anew."""
    return 0.5 if is_active(view.updating) else None


def cards(view: DatasetView, body: Body) -> list[Card]:
    """The form with changes that are not saved yet, and what they would do."""
    dataset, changes, shown, typed, leave_out = view.dataset, body.changes, body.shown, body.typed, body.leave_out
    try:
        settings = make_settings({**dataset.settings.model_dump(), **changes})
    except UserError:
        settings = dataset.settings
    busy = [one for one in view.experiments if one.status in ("queued", "running")]
    left_out = shown.left_out if shown else 0
    form: list[Any] = update_items(view.updating)
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
                "save",
                "Save columns and split",
                disabled=bool(busy) or is_active(view.updating) or not (changes or typed.get("consent")),
            ),
            build.button("drop", "Undo changes", disabled=not changes),
        ),
        build.paragraph("A new split gives new scores: finished experiments keep the ones they have.", quiet=True),
    ]
    side = preview_items(shown, body.problem)
    if shown is not None:
        sizes = f"{shown.train_rows:,} rows to learn from, {shown.validation_rows:,} held out"
        sizes += f", {shown.left_out:,} left out." if shown.left_out else "."
        side = [
            build.paragraph(sizes, name="sizes"),
            *conversation_view.problem_bars(shown.problems, consent=leave_out),
            *side,
        ]
    side = [*rejected_items(reading_of(dataset)), *left_out_items(view), *side]
    return [build.form("main", "columns_card", form), build.form("side", "preview_card", side)]


def left_out_items(view: DatasetView) -> list[Any]:
    """A way to get the rows that no experiment reads, where they are few enough for a click."""
    count = len(view.dataset.split.left_out)
    if not 0 < count <= MOST_DOWNLOADED:
        return []
    return [build.row(build.button("download_left_out", f"Download the {words.plural(count, 'row')} left out"))]


def download_left_out(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands out the rows that no experiment reads, each with its number and reason."""
    view = actions.show(ctx.store, args[0])
    path = browse_folder(ctx.home, args[0]) / "left out.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    actions.write_left_out(view.dataset, path)
    return download(path, f"{view.record.name} left out.jsonl")


def reading_of(dataset: Dataset) -> Reading | None:
    """What was read from the data file."""
    path = dataset.folder / READING
    return Reading.load(path) if path.is_file() else None


def download_rejected(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands out the rows of the file that did not fit, each with its place and reason."""
    folder = actions.show(ctx.store, args[0]).dataset.folder
    return download(rejected_path(folder / ROWS), "rows that did not fit.jsonl")


def update_items(job: JobRecord | None) -> list[Any]:
    """How far a change of columns or split is, or why it was not made."""
    if job is None or job.status in ("done", "cancelled"):
        return []
    if job.status == "failed":
        return [build.error_bar(job.error or {}, name="update_error")]
    message = "Cancelling" if job.cancel_requested else job.message or "Waiting for the worker to start"
    return build.progress("updating", message, job.progress, cancel=f"cancel_job/{job.id}")


def set_field(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Keeps a change until it is saved or dropped."""
    dataset = actions.show(ctx.store, args[0]).dataset
    changes = dict(ctx.state.get("changes", {}))
    settings = make_settings({**dataset.settings.model_dump(), **changes})
    changes |= dataset_form.taken(ctx.draft, event, settings, dataset.columns)
    make_settings({**dataset.settings.model_dump(), **changes})
    ctx.state["changes"] = changes


def save(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for the new split."""
    dataset_form.refuse_mistyped(ctx.draft)
    view = actions.show(ctx.store, args[0])
    leave_out = bool(ctx.draft.get("consent", view.leave_out))
    actions.start_update(ctx.store, args[0], ctx.state.get("changes", {}), leave_out=leave_out)
    drop(ctx, args, event)
    return stay("The rows are being checked and split anew.", "info")


def drop(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Forgets changes that are not saved."""
    ctx.state.pop("changes", None)
    for name in [name for name in ctx.draft if name.startswith(dataset_form.PREFIX) or name == "consent"]:
        ctx.draft.pop(name)


ACTIONS = {
    "set": set_field,
    "save": save,
    "drop": drop,
    "download_rejected": download_rejected,
    "download_left_out": download_left_out,
}
