"""Imports in a store without a browser: an upload, its jobs done in place, the data set that comes of it."""

import json
from typing import Any

from llm_studio.actions.finishing import run_finish
from llm_studio.actions.updating import run_update
from llm_studio.data.browse import run_search
from llm_studio.data.jobs import dataset_statistics, import_read
from llm_studio.data.merging import run as run_merge
from llm_studio.errors import UserError
from llm_studio.store import JobRecord, Store
from llm_studio.ui.page import Outcome
from llm_studio.ui.pages import import_
from tests.support.tab import Tab

HOSTILE = "<img src=x onerror=\"window.hacked=1\"> & 'quotes' `code`"


def rows(count: int = 40) -> list[dict[str, Any]]:
    found = [{"question": f"Question {index}?", "answer": f"Answer {index} {HOSTILE}"} for index in range(count)]
    found[3]["answer"] = ""
    return found


def upload(store: Store, content: str, name: str = "a.jsonl") -> Outcome:
    folder = store.home.wave / "f" / "01234567-89ab-cdef-0123-456789abcdef"
    folder.mkdir(parents=True)
    (folder / name).write_text(content)
    tab = Tab(store, import_.PAGE)
    tab.context.draft["upload"] = [f"/_f/{folder.name}/{name}"]
    outcome = tab.act("upload")
    assert outcome is not None
    return outcome


def run(store: Store, kind: str = "import_read") -> JobRecord:
    """Does what the data job process does with the one waiting job."""
    job = store.jobs.list(kind=kind, active=True)[0]
    work = {
        "import_read": import_read,
        "dataset_statistics": dataset_statistics,
        "import_finish": run_finish,
        "dataset_update": run_update,
        "dataset_search": run_search,
        "import_merge": run_merge,
    }[kind]
    try:
        store.jobs.finish(job.id, "done", result=work(store.home, store, job, lambda share, words: None))
    except UserError as error:
        store.jobs.finish(job.id, "failed", error=error.as_dict())
    return store.jobs.get(job.id)


def drafted(store: Store) -> str:
    upload(store, "".join(json.dumps(row) + "\n" for row in rows()))
    return run(store).id


def imported(store: Store) -> str:
    tab = Tab(store, import_.PAGE, drafted(store), "preview")
    tab.context.draft |= {"name": "Questions", "consent": True}
    tab.act("finish")
    return str((run(store, "import_finish").result or {})["dataset_id"])
