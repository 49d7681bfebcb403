"""The cards of the import wizard, step by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.actions.datasets import ImportDraft, is_active
from llm_studio.data.prepare import PREVIEW_ROWS, Preview
from llm_studio.data.reading import EXTENSIONS, Reading
from llm_studio.store import DatasetRecord, JobRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card
from llm_studio.ui.pages import conversation_view, dataset_form

STEPS = ("Source", "Columns", "Preview", "Done")


def head(step: int, *, subtitle: str = "", action: Any = None, more: Sequence[Any] = ()) -> list[Card]:
    """Title, primary action and stepper."""
    return [
        build.header("Import data", subtitle=subtitle, action=action, more=more),
        build.form("top", "steps_card", [build.stepper("steps", STEPS, step)]),
    ]


def reading_cards(job: JobRecord) -> list[Card]:
    """What the reading job does now."""
    waiting = "Waiting for the worker to start" if job.status == "queued" else "Reading"
    message = "Cancelling" if job.cancel_requested else job.message or waiting
    items = build.progress("reading", message, job.progress, cancel=f"cancel_reading/{job.id}")
    hint = build.paragraph("You can leave this page; the import waits under Datasets.", quiet=True)
    return [*head(1, subtitle="The file is being read."), build.form("main", "reading_card", [*items, hint])]


def finishing_cards(job: JobRecord) -> list[Card]:
    """What the job that makes the data set does now."""
    waiting = "Waiting for the worker to start" if job.status == "queued" else "Checking every row"
    message = "Cancelling" if job.cancel_requested else job.message or waiting
    items = build.progress("finishing", message, job.progress, cancel=f"cancel_finishing/{job.id}")
    hint = build.paragraph("You can leave this page; the data set appears under Datasets when it is made.", quiet=True)
    return [*head(3, subtitle="The data set is being made."), build.form("main", "finishing_card", [*items, hint])]


def failed_cards(problem: dict[str, str]) -> list[Card]:
    """What was wrong with the file, and the way back."""
    items = [
        build.error_bar(problem),
        build.paragraph("Nothing was imported.", quiet=True),
    ]
    again = build.primary("#import", "Choose another file")
    return [*head(0, action=again), build.form("main", "failed_card", items)]


def columns_cards(
    draft: ImportDraft,
    shown: Preview | None,
    problem: dict[str, str] | None,
    validation_job: JobRecord | None,
    typed: Mapping[str, Any],
) -> list[Card]:
    """The guess and its reason, the form, and the preview beside it."""
    assert draft.draft is not None and draft.reading is not None
    settings = draft.draft.dataset_settings()
    reading = draft.reading
    certain = draft.draft.guess.certainty >= 0.5
    form = [
        build.finding_bar("note" if certain else "warning", draft.draft.guess.reason, name="guess_reason"),
        *(build.finding_bar("note", note, name=f"note_{index}") for index, note in enumerate(reading.notes)),
        *dataset_form.fields(settings, reading.columns, typed),
        *own_file_items(draft, validation_job, visible=settings.validation_strategy == "custom"),
    ]
    subtitle = (
        f"{reading.file}: {words.plural(reading.row_count, 'row')}, {words.plural(len(reading.columns), 'column')}"
    )
    more = [build.button("#import", "Back"), build.button(f"delete_draft/{draft.job.id}", "Discard")]
    return [
        *head(1, subtitle=subtitle, action=build.primary("to_preview", "Continue"), more=more),
        build.form("main", "columns_card", form),
        build.form("side", "preview_card", preview_items(shown, problem)),
    ]


def own_file_items(draft: ImportDraft, job: JobRecord | None, *, visible: bool) -> list[Any]:
    """The upload of a validation file, how far it is read, and which one there is."""
    busy = job is not None and is_active(job)
    items: list[Any] = [
        ui.file_upload(
            name=f"upload_validation/{job.id if job else 'first'}",
            label="Upload and read",
            height="150px",
            file_extensions=[extension.removeprefix(".") for extension in EXTENSIONS],
            visible=visible and not busy and draft.validation is None,
            tooltip="A file with the same columns. Its rows are used for scores only.",
        ),
    ]
    if visible and job is not None and busy:
        items += build.progress("reading_validation", job.message or "Reading the validation file", job.progress)
    elif visible and draft.validation is not None:
        said = f"{draft.validation.file}: {words.plural(draft.validation.row_count, 'row')}"
        items.append(
            build.row(
                build.paragraph(said, name="validation_file"), build.button("other_validation", "Take another file")
            )
        )
    elif visible and job is not None and job.status == "failed" and job.error:
        items.append(build.error_bar(job.error, name="validation_error"))
    return items


def preview_items(shown: Preview | None, problem: dict[str, str] | None) -> list[Any]:
    """The first conversations as the model gets them, or why there are none."""
    items: list[Any] = [build.heading("Preview", hint="What the model reads, and what it learns to answer.")]
    if problem is not None:
        items.append(build.error_bar(problem, name="preview_error"))
    if shown is not None:
        items.append(conversation_view.conversations("preview_rows", shown.conversations))
    return items


def preview_cards(
    draft: ImportDraft,
    shown: Preview | None,
    problem: dict[str, str] | None,
    name: str,
    typed: Mapping[str, Any],
    failed: dict[str, str] | None = None,
) -> list[Card]:
    """Conversations on the left; name, sizes and problems on the right. failed: why it was not made just now."""
    assert draft.draft is not None
    back = build.button(f"#import/{draft.job.id}/columns", "Back")
    action = build.primary("finish", "Import data set", disabled=shown is None)
    found = head(2, subtitle="Look at some rows; then give the data set a name.", action=action, more=[back])
    if failed:
        found.append(build.form("top", "failed_card", [build.error_bar(failed, name="finish_error")]))
    if shown is None:
        return [*found, build.form("main", "preview_card", preview_items(None, problem))]
    consent = bool(typed.get("consent", draft.draft.leave_out))
    side = [
        ui.textbox(
            name="name",
            label="Name",
            value=name,
            tooltip="Shown in every list. 1 to 80 characters, and no other data set may have it.",
        ),
        *conversation_view.problem_bars(shown.problems, consent=consent),
        *rejected_items(draft.reading),
        ui.checkbox(
            name="consent",
            label=f"Leave out {words.plural(shown.left_out, 'row')} that cannot be used",
            value=consent,
            tooltip="The rows stay in the data set, but no experiment reads them.",
            trigger=True,
            visible=shown.left_out > 0,
        ),
    ]
    found.append(build.stats("sizes", size_tiles(shown)))
    found.append(build.form("main", "conversations_card", preview_items(shown, None)))
    found.append(build.form("side", "name_card", side))
    return found


def rejected_items(reading: Reading | None) -> list[Any]:
    """A way to get the rows of the file that did not fit."""
    if reading is None or not reading.rejected:
        return []
    label = f"Download the {words.plural(reading.rejected, 'row')} that did not fit"
    return [build.row(build.button("download_rejected", label))]


def size_tiles(shown: Preview) -> list[tuple[str, str, str]]:
    """Rows, both parts and what is left out; of the first rows only for a large file."""
    part = "" if shown.checked_rows == shown.row_count else f"of the first {PREVIEW_ROWS:,}"
    return [
        ("Rows", words.count(shown.row_count), ""),
        ("To learn from", words.count(shown.train_rows), part),
        ("Validation", words.count(shown.validation_rows), part or share_of(shown)),
        ("Left out", words.count(shown.left_out), part),
    ]


def share_of(shown: Preview) -> str:
    """The validation share in words."""
    total = shown.train_rows + shown.validation_rows
    return f"{100 * shown.validation_rows / max(total, 1):.1f} %"


def done_cards(record: DatasetRecord) -> list[Card]:
    """What there is now, and what to do next."""
    action = build.primary(f"#new/{record.id}", "New experiment")
    more = [
        build.button(f"#dataset/{record.id}/rows", "Look at the data set"),
        build.button("#import", "Import another"),
    ]
    tiles = [
        ("Rows", words.count(record.row_count)),
        ("To learn from", words.count(record.train_rows)),
        ("Validation", words.count(record.validation_rows)),
    ]
    said = f"{record.name} is imported. Next: start an experiment that learns from it."
    return [
        *head(3, action=action, more=more),
        build.stats("done_sizes", tiles),
        build.form("main", "done_card", [build.finding_bar("success", said, name="done_words")]),
    ]
