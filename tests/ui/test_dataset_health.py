"""The health page without a browser: findings with rows, a fix that is recorded, its way back, what stops a start."""

import json

import pytest

from llm_studio.actions.updating import run_update
from llm_studio.data import open_dataset
from llm_studio.data.health.job import run as run_health
from llm_studio.errors import UserError
from llm_studio.store import Store
from llm_studio.ui.pages import dataset, new
from tests.support.rows import make_dataset
from tests.support.tab import Tab

HOSTILE = "<img src=x onerror=1>"


def run_jobs(store: Store) -> None:
    """Does what the data job processes do, in the order in which they were asked for."""
    kinds = {"dataset_health": run_health, "dataset_update": run_update}
    for job in sorted(store.jobs.list(active=True), key=lambda one: one.created_at):
        if job.kind in kinds:
            result = kinds[job.kind](store.home, store, job, lambda share, words: None)
            store.jobs.finish(job.id, "done", result=result)


def rows() -> list[dict[str, str]]:
    subjects = ["harbour", "violin", "glacier", "orchard", "lantern", "compass", "meadow", "furnace"]
    found = [
        {
            "question": f"What is special about {subjects[i % 8]} number {i}?",
            "answer": f"It was made in {1800 + i}. {i}",
        }
        for i in range(80)
    ]
    found += [dict(found[3]), dict(found[3])]
    found.append({"question": f"Who wrote {HOSTILE}?", "answer": "As an AI language model, I cannot know that."})
    return found


def test_findings_show_rows_and_fixes_and_stay_inert(store: Store) -> None:
    dataset_id = make_dataset(store, rows())
    tab = Tab(store, dataset.PAGE, dataset_id, "health")
    assert "cancel_job/" in tab.text()
    run_jobs(store)
    shown = tab.text()
    assert "speaks as an AI" in shown and "ask_fix/refusals" in shown and "Row 83" in shown
    assert "<img" not in shown and "✓" not in shown and "Passed" in shown
    asked = tab.act("ask_fix/" + next(name for name in names(store, dataset_id) if name.startswith("refusals")))
    assert asked.dialog is not None and "can be undone" in json.dumps([one.dump() for one in asked.dialog.items])


def names(store: Store, dataset_id: str) -> list[str]:
    """The findings of the newest report."""
    return [one["name"] for one in json.loads((store.home.dataset(dataset_id) / "health.json").read_text())["findings"]]


def test_a_fix_is_a_step_that_changes_the_split_and_can_be_undone(store: Store) -> None:
    dataset_id = make_dataset(store, rows())
    before = store.datasets.get(dataset_id)
    tab = Tab(store, dataset.PAGE, dataset_id, "health")
    run_jobs(store)
    name = next(name for name in names(store, dataset_id) if name.startswith("refusals"))
    tab.act(f"fix/{name}")
    assert "cancel_job/" in tab.text()
    with pytest.raises(UserError, match="being changed already"):
        tab.act(f"fix/{name}")
    run_jobs(store)
    after = store.datasets.get(dataset_id)
    assert after.train_rows + after.validation_rows == before.train_rows + before.validation_rows - 1
    assert after.fingerprint != before.fingerprint
    run_jobs(store)
    assert "Rows left out" in tab.text() and "speaks as an AI" not in tab.text().split("Fixes made")[0]
    tab.act("undo_fix/0")
    run_jobs(store)
    assert store.datasets.get(dataset_id).fingerprint == before.fingerprint
    assert open_dataset(store.home.dataset(dataset_id)).recipe.steps == ()


def test_a_fix_that_fails_leaves_the_recipe_as_it_was(store: Store) -> None:
    dataset_id = make_dataset(store, rows())
    run_jobs(store)
    name = next(name for name in names(store, dataset_id) if name.startswith("refusals"))
    tab = Tab(store, dataset.PAGE, dataset_id, "health")
    tab.act(f"fix/{name}")
    job = store.jobs.list(kind="dataset_update", active=True)[0]

    def full(share: float | None, words: str) -> None:
        raise UserError("The disk is full.")

    with pytest.raises(UserError, match="disk is full"):
        run_update(store.home, store, job, full)
    assert open_dataset(store.home.dataset(dataset_id)).recipe.steps == ()
    run_update(store.home, store, job, lambda share, words: None)
    run_update(store.home, store, job, lambda share, words: None)
    assert len(open_dataset(store.home.dataset(dataset_id)).recipe.steps) == 1


def test_what_the_report_warns_of_stands_on_the_page_of_a_new_experiment(store: Store) -> None:
    dataset_id = make_dataset(store, rows())
    run_jobs(store)
    tab = Tab(store, new.PAGE, dataset_id)
    data = new.load(tab.context, tab.context.args)
    assert any("Health page" in one.fix for one in data.remarks if one.level == "warning")
    assert not data.errors
