"""Imports that run at once: one is cancelled, the app is killed in the middle, and the others finish whole."""

import json
import time
from pathlib import Path

import psutil

from llm_studio.actions import datasets as actions
from llm_studio.store import Store
from tests.support.browser import Studio

ROWS = 60_000


def rows_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.jsonl"
    rows = ({"question": f"{name} {i}? " + "why " * 60, "answer": f"Because {i}. " * 8} for i in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def wait_for(store: Store, job_id: str, seconds: float = 120) -> str:
    until = time.monotonic() + seconds
    while (status := store.jobs.get(job_id).status) in ("queued", "running"):
        assert time.monotonic() < until, f"the job is still {status}"
        time.sleep(0.1)
    return str(status)


def runs(studio: Studio, word: str) -> bool:
    """Whether the launcher has a living child of this name."""
    return any(word in " ".join(child.cmdline()) for child in psutil.Process(studio.process.pid).children())


def test_the_others_finish_and_nothing_half_imported_is_visible(own_studio: Studio, tmp_path: Path) -> None:
    studio = own_studio
    store = Store.open(studio.home)
    try:
        store.preferences.set("allowed_folders", [str(tmp_path)])
        before = {record.id for record in store.datasets.list()}
        jobs = {
            name: actions.start_import(store, {"kind": "local", "path": str(rows_file(tmp_path, name))}).id
            for name in ("one", "two", "three")
        }
        until = time.monotonic() + 60
        while not any(store.jobs.get(job_id).status == "running" for job_id in jobs.values()):
            assert time.monotonic() < until
            time.sleep(0.02)
        actions.cancel_import(store, jobs["two"])
        app = studio.child("uvicorn")
        app.kill()
        assert {name: wait_for(store, job_id) for name, job_id in jobs.items()} == {
            "one": "done",
            "two": "cancelled",
            "three": "done",
        }
        assert {record.id for record in store.datasets.list()} == before
        assert not (studio.home / "staging" / jobs["two"]).exists()
        drafts = {name: actions.import_draft(store, jobs[name]) for name in ("one", "three")}
        finishing = {}
        for name, draft in drafts.items():
            assert draft.draft is not None and draft.reading is not None and draft.reading.row_count == ROWS
            settings = draft.draft.dataset_settings()
            finishing[name] = actions.start_finish(store, jobs[name], name=f"{name} of many", settings=settings).id
        assert {wait_for(store, job_id) for job_id in finishing.values()} == {"done"}
        made = [record for record in store.datasets.list() if record.id not in before]
        assert sorted(record.name for record in made) == ["one of many", "three of many"]
        assert all(record.train_rows + record.validation_rows == ROWS for record in made)
        until = time.monotonic() + 30
        while not any(
            "uvicorn" in " ".join(child.cmdline()) for child in psutil.Process(studio.process.pid).children()
        ):
            assert time.monotonic() < until, "the app did not come back"
            time.sleep(0.1)
    finally:
        store.close()
