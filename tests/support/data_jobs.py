"""Data sets in a store without a page: uploads, their jobs done in place."""

import json
from pathlib import Path
from typing import Any

from llm_studio.actions import datasets as actions
from llm_studio.actions.finishing import run_finish
from llm_studio.config import DatasetSettings
from llm_studio.data.jobs import import_read
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, JobRecord, Store


def file_of(path: Path, rows: int = 40, **more: Any) -> Path:
    lines = [{"question": f"Question {index}?", "answer": f"Answer {index}.", **more} for index in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def upload(store: Store, name: str = "a.jsonl", rows: int = 40) -> dict[str, object]:
    path = file_of(store.home.uploads / f"0123-{name}", rows)
    return {"kind": "upload", "path": str(path), "name": name}


def quiet(share: float | None, words: str) -> None:
    """Hears the report and says nothing."""


def run(store: Store, job: JobRecord) -> None:
    """Does what the data job process does."""
    try:
        store.jobs.finish(job.id, "done", result=import_read(store.home, store, job, quiet))
    except UserError as error:
        store.jobs.finish(job.id, "failed", error=error.as_dict())


def draft_of(store: Store, rows: int = 40, name: str = "a.jsonl") -> str:
    job = actions.start_import(store, upload(store, name, rows))
    run(store, job)
    return job.id


def imported(store: Store, name: str = "Questions", rows: int = 40) -> DatasetRecord:
    job_id = draft_of(store, rows)
    draft = actions.import_draft(store, job_id).draft
    assert draft is not None
    return finish(store, job_id, name, draft.dataset_settings())


def finish(store: Store, job_id: str, name: str, settings: DatasetSettings) -> DatasetRecord:
    """Asks for the data set and does what the data job process does."""
    job = actions.start_finish(store, job_id, name=name, settings=settings)
    try:
        made = run_finish(store.home, store, job, quiet)
    except BaseException:
        store.jobs.finish(job.id, "failed")
        raise
    store.jobs.finish(job.id, "done", result=made)
    return store.datasets.get(str(made["dataset_id"]))


def nothing_is_left(store: Store) -> bool:
    folders = (store.home.staging, store.home.datasets, store.home.uploads)
    return not any(list(folder.iterdir()) for folder in folders) and store.datasets.list() == []
