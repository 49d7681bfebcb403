"""The report as a whole: saved and read, known when stale, made by a data job that can be cancelled."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm_studio.data import open_dataset
from llm_studio.data.fixes.recipe import Recipe, recipe_step_for
from llm_studio.data.health import job as health_job
from llm_studio.data.health.report import HEALTH, examine, load, save
from llm_studio.data.prepare import prepare
from llm_studio.errors import Cancelled
from llm_studio.store import Home, Store
from llm_studio.worker.data_jobs import function_of
from tests.data.health.conftest import Make, clean_pairs, named, quiet

CLEAN = clean_pairs(60)
BAD = [*CLEAN, ("Repeat?", "It is said once."), ("Repeat?", "It is said once."), ("Mail?", "Write to jo@bank.de.")]


def test_is_the_same_after_being_saved(make: Make) -> None:
    dataset = make(BAD)
    assert load(dataset.folder) is None
    report = examine(dataset, quiet)
    save(report, dataset.folder)
    again = load(dataset.folder)
    assert again is not None and len(again.findings) == len(report.findings) > 1
    assert (again.fingerprint, again.checks, again.looked_at) == (report.fingerprint, report.checks, report.looked_at)
    for one, other in zip(again.findings, report.findings, strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert {**vars(one), "rows": None} == {**vars(other), "rows": None}


def test_rows_lie_beside_the_report_and_those_of_an_older_report_go(make: Make) -> None:
    dataset = make(BAD)
    save(examine(dataset, quiet), dataset.folder)
    files = {file.name for file in (dataset.folder / "health").iterdir()}
    assert "duplicates-train.npy" in files or "duplicates-validation.npy" in files
    assert files == {f"{one['name']}.npy" for one in json.loads((dataset.folder / HEALTH).read_text())["findings"]}
    save(examine(make(CLEAN), quiet), dataset.folder)
    assert list((dataset.folder / "health").iterdir()) == []


def test_a_report_that_was_broken_off_counts_as_none(make: Make) -> None:
    dataset = make(BAD)
    save(examine(dataset, quiet), dataset.folder)
    file = next((dataset.folder / "health").glob("*.npy"))
    np.save(file, np.arange(50))
    assert load(dataset.folder) is None
    file.unlink()
    assert load(dataset.folder) is None


def test_is_stale_once_the_settings_change(make: Make) -> None:
    dataset = make(BAD)
    report = examine(dataset, quiet)
    assert not report.is_stale(dataset)
    prepare(dataset.folder, dataset.settings.model_copy(update={"validation_size": 0.5}), leave_out=True)
    assert report.is_stale(open_dataset(dataset.folder))


def test_the_gravest_findings_come_first_and_every_check_says_how_it_went(make: Make) -> None:
    report = examine(make([(f"Question {place}?", "yes ") for place in range(60)]), quiet)
    order = ["stops", "warning", "note"]
    found = [order.index(one.severity) for one in report.findings]
    assert found == sorted(found) and found[0] == 0 and found[-1] == 2
    assert sum(report.looked_at.values()) == 60
    assert all(one.looked_at == 60 and one.words.endswith(".") for one in report.checks)


def test_the_steps_of_a_report_cure_what_it_found(make: Make) -> None:
    dataset = make(BAD, own=[("Held out?", "It is held out.")])
    report = examine(dataset, quiet)
    recipe = Recipe(dataset.folder, [recipe_step_for(one) for one in report.findings if one.remedy])
    dropped = recipe.dropped(dataset.row_count)
    kept = [recipe.edit(cells) for row, cells in enumerate(dataset.rows(0, 1_000)) if not dropped[row]]
    cured = examine(make([(cells["q"], cells["a"]) for cells in kept], own=[("Held out?", "It is held out.")]), quiet)
    assert named(report, "duplicates-train").rows.tolist() == [61]
    assert [one.what for one in cured.findings] == []


def test_the_data_job_writes_the_report_and_can_be_cancelled(make: Make, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    store = Store.open(home)
    try:
        folder = home.dataset("one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(BAD).folder.rename(folder)
        job = store.jobs.create("dataset_health", {"dataset_id": "one"})
        run = function_of("dataset_health")
        assert run is health_job.run

        def end(share: float | None, words: str) -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            run(home, store, job, end)
        assert load(folder) is None
        heard: list[tuple[float | None, str]] = []
        result = run(home, store, job, lambda share, words: heard.append((share, words)))
        report = load(folder)
        assert report is not None and result == {"findings": len(report.findings), "conversations": 63}
        shares = [share for share, _ in heard if share is not None]
        assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
        assert any("Checking: Near-duplicates" in words for _, words in heard)
    finally:
        store.close()
