"""The wizard that imports a data set: source, columns, preview, done; every step has an address."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import ImportDraft
from llm_studio.data.dataset import ROWS
from llm_studio.data.prepare import Preview
from llm_studio.data.reading import rejected_path
from llm_studio.data.staging import make_settings, staging_folder
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, JobRecord
from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, dialog, download, go, stay
from llm_studio.ui.pages import dataset_form, import_cards, import_source
from llm_studio.ui.uploads import take_upload

STEPS = ("columns", "preview", "finish", "done")


@dataclass(frozen=True)
class Data:
    """What the wizard shows. `step` is "source", "reading", "columns", "preview", "finish", "failed" or "done"."""

    step: str
    job_id: str = ""
    draft: ImportDraft | None = None
    shown: Preview | None = None
    problem: dict[str, str] | None = None
    validation_job: JobRecord | None = None
    finishing: JobRecord | None = None
    done: DatasetRecord | None = None
    typed: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    source: import_source.Data = field(default_factory=import_source.Data)


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Reads the import as it stands; nothing is kept in the browser but what is being typed."""
    typed = dict(ctx.draft)
    if not args:
        return Data(step="source", source=import_source.load(ctx))
    job_id, step = args[0], args[1] if len(args) > 1 else "columns"
    if step not in STEPS:
        raise UserError(f"The import has no step {step!r}.", fix="Open the import from the data sets.")
    if step == "done":
        return Data(step="done", done=ctx.store.datasets.get(args[2] if len(args) > 2 else ""))
    finishing = actions.finish_job(ctx.store, job_id)
    if finishing is not None and finishing.status == "done" and finishing.result:
        return Data(step="done", done=ctx.store.datasets.get(str(finishing.result["dataset_id"])))
    if step == "finish" and actions.is_active(finishing):
        return Data(step="finish", job_id=job_id, finishing=finishing)
    try:
        draft = actions.import_draft(ctx.store, job_id)
    except UserError as error:
        return Data(step="failed", job_id=job_id, problem=error.as_dict())
    if draft.draft is None:
        return Data(step="reading", job_id=job_id, draft=draft)
    shown, problem = None, None
    step = "preview" if step == "finish" else step  # it failed or was cancelled: the choices are still there
    try:
        settings = draft.draft.dataset_settings()
        shown = actions.preview(ctx.store, job_id, settings, 3 if step == "columns" else 6)
    except UserError as error:
        problem = error.as_dict()
    return Data(
        step=step,
        job_id=job_id,
        draft=draft,
        shown=shown,
        problem=problem,
        validation_job=actions.validation_job(ctx.store, job_id),
        finishing=finishing if args[1:2] == ("finish",) else None,
        typed=typed,
        name=str(typed.get("name", actions.unused_name(ctx.store, draft.draft.name))),
    )


def cards(data: Data) -> Sequence[Card]:
    """The stepper on top, the step below."""
    if data.step == "source":
        return import_source.cards(data.source)
    if data.step == "failed":
        return import_cards.failed_cards(data.problem or {})
    if data.step == "done" and data.done is not None:
        return import_cards.done_cards(data.done)
    if data.step == "finish" and data.finishing is not None:
        return import_cards.finishing_cards(data.finishing)
    assert data.draft is not None
    if data.step == "reading":
        return import_cards.reading_cards(data.draft.job)
    if data.step == "columns":
        return import_cards.columns_cards(data.draft, data.shown, data.problem, data.validation_job, data.typed)
    failed = data.finishing.error if data.finishing is not None else None
    return import_cards.preview_cards(data.draft, data.shown, data.problem, data.name, data.typed, failed)


def refresh_seconds(data: Data) -> float | None:
    """Only what a job does goes on by itself."""
    busy = actions.is_active(data.validation_job)
    return 0.5 if data.step in ("reading", "finish") or busy else None


def start(ctx: Context, source: dict[str, object]) -> Outcome:
    """Starts reading and opens the next step."""
    job = actions.start_import(ctx.store, source)
    return go(f"#import/{job.id}/columns")


def upload(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Reads the uploaded file."""
    urls = ctx.draft.pop("upload", None) or event.value
    if not isinstance(urls, list) or not urls:
        raise UserError("No file was uploaded.", where="Upload", fix="Drop a file into the field or choose one.")
    taken = take_upload(ctx.home, str(urls[0]))
    return start(ctx, {"kind": "upload", "path": str(taken.path), "name": taken.name})


def sample(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Reads a sample of the studio."""
    return start(ctx, {"kind": "starter", "name": event.target})


def read_local(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Reads a file on the server."""
    path = str(ctx.draft.get("server_file") or "").strip()
    if not path:
        raise UserError("No file is chosen.", where="File on the server", fix="Choose a file or type its path.")
    return start(ctx, {"kind": "local", "path": path})


def set_field(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Keeps one changed field; the preview follows."""
    held = actions.import_draft(ctx.store, args[0])
    if held.draft is not None:
        names = [column.name for column in held.columns]
        change = dataset_form.taken(ctx.draft, event, held.draft.dataset_settings(), names)
        actions.change_draft(ctx.store, args[0], settings=change)


def upload_validation(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Reads a validation file of the user's own."""
    urls = ctx.draft.pop(f"upload_validation/{event.argument}", None) or event.value
    if not isinstance(urls, list) or not urls:
        raise UserError("No file was uploaded.", where="Validation file", fix="Choose a file.")
    taken = take_upload(ctx.home, str(urls[0]))
    actions.add_validation(ctx.store, args[0], {"kind": "upload", "path": str(taken.path), "name": taken.name})
    return stay()


def other_validation(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Forgets the validation file, so that another can be uploaded."""
    actions.remove_validation(ctx.store, args[0])


def to_preview(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Opens the preview when the columns fit."""
    dataset_form.refuse_mistyped(ctx.draft)
    draft = actions.import_draft(ctx.store, args[0]).draft
    if draft is None:
        raise UserError("The file is still being read.", where="import", fix="Wait until it is read.")
    actions.preview(ctx.store, args[0], draft.dataset_settings(), 6)
    return go(f"#import/{args[0]}/preview")


def set_consent(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Keeps whether rows that cannot be used are left out."""
    actions.change_draft(ctx.store, args[0], leave_out=bool(ctx.draft.get("consent")))


def finish(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for the data set and shows how far it is."""
    draft = actions.import_draft(ctx.store, args[0]).draft
    if draft is None:
        raise UserError("The file is still being read.", where="import", fix="Wait until it is read.")
    name = str(ctx.draft.get("name", actions.unused_name(ctx.store, draft.name)))
    leave_out = bool(ctx.draft.get("consent", draft.leave_out))
    actions.start_finish(ctx.store, args[0], name=name, settings=make_settings(draft.settings), leave_out=leave_out)
    actions.change_draft(ctx.store, args[0], name=name, leave_out=leave_out)
    return go(f"#import/{args[0]}/finish")


def download_rejected(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands out the rows of the file that did not fit, each with its place and reason."""
    path = rejected_path(staging_folder(ctx.home, args[0]) / ROWS)
    return download(path, "rows that did not fit.jsonl")


def cancel_finishing(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Ends the making of the data set; the choices stay."""
    ctx.store.jobs.request_cancel(event.argument)


def ask_cancel(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks before a draft is thrown away."""
    target = event.argument or args[0]
    return dialog(
        "Discard this import?",
        build.paragraph("What was read so far and the columns you chose are removed. The file itself is not touched."),
        build.row(build.button(f"delete_import/{target}", "Discard"), build.button("close", "Keep")),
    )


def cancel(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Ends the import and goes back to the source."""
    actions.cancel_import(ctx.store, event.argument or args[0])
    return go("#import", "The import was cancelled.") if args else stay("The import was discarded.")


PAGE = Page(
    route="import",
    title="Import data",
    section="datasets",
    load=load,
    cards=cards,
    refresh_seconds=refresh_seconds,
    crumbs=lambda data: [Crumb("Datasets", "#datasets"), Crumb("Import data")],
    actions={
        "upload": upload,
        "sample": sample,
        "read_local": read_local,
        "fetch": import_source.fetch,
        "remove_keys": import_source.remove_keys,
        "set": set_field,
        "upload_validation": upload_validation,
        "other_validation": other_validation,
        "to_preview": to_preview,
        "consent": set_consent,
        "finish": finish,
        "delete_draft": ask_cancel,
        "delete_import": cancel,
        "cancel_reading": cancel,
        "cancel_finishing": cancel_finishing,
        "download_rejected": download_rejected,
    },
)
