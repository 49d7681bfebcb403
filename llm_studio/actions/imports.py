"""Importing, step by step: start reading, look at the draft, change it, cancel it; `finishing` makes the data set."""

import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llm_studio.actions.finishing import FINISH, free_name, make_dataset, newest_job, unused_name
from llm_studio.config import DatasetSettings
from llm_studio.data import open_dataset
from llm_studio.data.connectors import Source, SourceFile, check, connector_of, find_file
from llm_studio.data.connectors.local import find_trusted
from llm_studio.data.dataset import READING, VALIDATION
from llm_studio.data.jobs import read_source, remove_upload, remove_uploads
from llm_studio.data.layouts import with_fitting_layout
from llm_studio.data.merging import check_mapping
from llm_studio.data.prepare import VALIDATION_READING, Preview
from llm_studio.data.prepare import preview as preview_rows
from llm_studio.data.reading import Reading, check_file
from llm_studio.data.reading.progress import Report
from llm_studio.data.staging import Draft, discard, make_settings, staging_folder
from llm_studio.data.types import Column
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, JobRecord, Store

KIND, MERGE = "import_read", "import_merge"
DRAFTS_KEPT_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class ImportDraft:
    """An import between reading and finishing. `reading` and `draft` are None until the file is read."""

    job: JobRecord
    reading: Reading | None
    validation: Reading | None
    draft: Draft | None

    @property
    def ready(self) -> bool:
        """Whether the file is read and the columns can be chosen."""
        return self.draft is not None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the data file."""
        return self.reading.columns if self.reading else ()


def start_import(store: Store, source: Source, validation: Source | None = None) -> JobRecord:
    """Checks the source as far as that is free and starts a job that reads it.

    Raises:
        UserError: no such file, a format that is not read, an empty file.
    """
    for one in (source, validation):
        if one is not None:
            check_source(store, one)
    params: dict[str, object] = {"source": dict(source)}
    if validation is not None:
        params["validation"] = dict(validation)
    return store.jobs.create(KIND, params)


def start_merge(store: Store, first_id: str, second_id: str, mapping: Mapping[str, str]) -> JobRecord:
    """Starts an import of the rows of two data sets; mapping: column of the second to column of the first.

    Raises:
        UserError: the columns do not fit together.
    """
    first, second = (open_dataset(store.home.dataset(one)) for one in (first_id, second_id))
    check_mapping(first, second, mapping)
    return store.jobs.create(MERGE, {"first": first_id, "second": second_id, "mapping": dict(mapping)})


def check_source(store: Store, source: Source) -> None:
    """Whether such a file is read here, of a source that is fetched only its form; an upload that is not is removed.

    Raises:
        UserError: what is wrong with it.
    """
    if connector_of(source).fetches:
        check(store, source)
        return
    file = find_file(store, source)
    try:
        check_file(file.path, file.name)
    except UserError:
        if file.ours:
            remove_upload(store.home, file.path)
        raise


def add_validation(store: Store, job_id: str, source: Source) -> JobRecord:
    """Starts a job that reads a validation file of the user's own into an import.

    Raises:
        UserError: as `start_import`.
    """
    check_source(store, source)
    return store.jobs.create(KIND, {"source": dict(source), "into": job_id}, subject=job_id)


def remove_validation(store: Store, job_id: str) -> None:
    """Forgets the validation file of an import; the strategy stays as it is."""
    folder = staging_folder(store.home, job_id)
    for name in (VALIDATION, VALIDATION_READING):
        (folder / name).unlink(missing_ok=True)
    change_draft(store, job_id, settings={"validation_dataframe": ""})


def validation_job(store: Store, job_id: str) -> JobRecord | None:
    """The newest job that reads a validation file into an import."""
    return newest_job(store, KIND, job_id)


def finish_job(store: Store, job_id: str) -> JobRecord | None:
    """The newest job that makes the data set of an import."""
    return newest_job(store, FINISH, job_id)


def is_active(job: JobRecord | None) -> bool:
    """Whether a job waits or runs."""
    return job is not None and job.status in ("queued", "running")


def open_imports(store: Store) -> list[JobRecord]:
    """Imports that are reading or wait to be finished, newest first; very old drafts are removed on the way."""
    found = []
    for job in [one for kind in (KIND, MERGE) for one in store.jobs.list(kind=kind)]:
        if "into" in job.params:
            continue
        if is_active(job):
            found.append(job)
        elif job.status == "done" and staging_folder(store.home, job.id).is_dir():
            if time.time() - job.created_at > DRAFTS_KEPT_SECONDS:
                discard(store.home, job.id)
            else:
                found.append(job)
    return sorted(found, key=lambda job: -job.created_at)


def import_draft(store: Store, job_id: str) -> ImportDraft:
    """Where an import stands.

    Raises:
        UserError: it was cancelled, finished or never there; or reading it failed, with what was wrong.
    """
    job = store.jobs.get(job_id)
    if job.status == "failed":
        raise UserError.from_dict(dict(job.error or {"what": "Reading the file failed."}))
    folder = staging_folder(store.home, job_id)
    if job.status == "cancelled" or (job.status == "done" and not (folder / READING).is_file()):
        raise UserError("This import is over.", where="import", fix="Look at the data sets, or start a new import.")
    if job.status != "done":
        return ImportDraft(job, None, None, None)
    own = folder / VALIDATION_READING
    return ImportDraft(
        job, Reading.load(folder / READING), Reading.load(own) if own.is_file() else None, Draft.load(folder)
    )


def change_draft(
    store: Store,
    job_id: str,
    *,
    settings: Mapping[str, object] | None = None,
    name: str | None = None,
    leave_out: bool | None = None,
) -> Draft:
    """Keeps what the user has chosen, so that a reload or Back finds it again.

    Raises:
        UserError: a value out of its range.
    """
    folder = staging_folder(store.home, job_id)
    draft = Draft.load(folder)
    if settings is not None:
        merged = {**draft.settings, **settings}
        make_settings(merged)
        draft = replace(draft, settings=merged)
    if name is not None:
        draft = replace(draft, name=name)
    if leave_out is not None:
        draft = replace(draft, leave_out=leave_out)
    draft.save(folder)
    return draft


def preview(store: Store, job_id: str, settings: DatasetSettings, conversations: int = 5) -> Preview:
    """What the import would become with these settings: conversations, problems, split.

    Raises:
        UserError: the settings do not fit the file.
    """
    return preview_rows(staging_folder(store.home, job_id), settings, conversations)


def cancel_import(store: Store, job_id: str) -> None:
    """Ends an import at any step and removes what it left; an import that is over is left alone."""
    job = store.jobs.get(job_id)
    for finishing in store.jobs.list(kind=FINISH, subject=job_id, active=True):
        store.jobs.request_cancel(finishing.id)
    if not is_active(job):
        discard(store.home, job_id)
    elif store.jobs.request_cancel(job_id).status == "cancelled" and job.kind == KIND:  # it had not begun
        remove_uploads(store, job)


def import_dataset(
    store: Store,
    source: Source,
    *,
    name: str | None = None,
    changes: Mapping[str, object] | None = None,
    validation_file: Path | None = None,
    leave_out: bool = False,
    trusted: bool = True,
    report: Report = lambda share, words: None,
) -> DatasetRecord:
    """The whole import in one call and in this process: for the command line.

    `changes` are settings that differ from the guessed ones; `trusted` lets a local file lie in any folder.

    Raises:
        UserError: as the steps of an import; nothing is left behind.
    """
    local = trusted and source.get("kind") == "local"
    validation = SourceFile(validation_file, validation_file.name) if validation_file else None
    folder = staging_folder(store.home, f"cli-{secrets.token_hex(5)}")
    try:
        draft = read_source(
            store, source, folder, validation, report, (lambda _, local: find_trusted(local)) if local else find_file
        )
        if draft.guess.certainty == 0 and not changes:
            raise UserError(draft.guess.reason, where=draft.source, fix="Name the columns of prompt and answer.")
        settings = make_settings(with_fitting_layout({**draft.settings, **(changes or {})}, changes or {}))
        chosen = free_name(store, name) if name else unused_name(store, draft.name)
        return make_dataset(store, folder, name=chosen, settings=settings, leave_out=leave_out, report=report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
