"""The health of a data set: its report, made by a job, and fixes that are recorded as steps and can be undone."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llm_studio.actions.finishing import UPDATE, newest_job, start_health
from llm_studio.actions.updating import check_idle
from llm_studio.data import Dataset
from llm_studio.data.fixes.recipe import Recipe, recipe_step_for
from llm_studio.data.health.report import HEALTH, Report, load
from llm_studio.errors import UserError
from llm_studio.store import JobRecord, Store

KIND = "dataset_health"


@dataclass(frozen=True, eq=False)
class Health:
    """report: the newest one, None before the first. job: the newest one that made or makes it. stale: the report is of
    rows, settings or fixes that have changed since."""

    report: Report | None
    job: JobRecord | None
    stale: bool

    @property
    def findings(self) -> int:
        """How many findings there are; 0 without a report."""
        return len(self.report.findings) if self.report else 0


def health_of(store: Store, dataset: Dataset) -> Health:
    """What is known of the health of a data set; starts nothing."""
    report = report_of(dataset.folder)
    job = newest_job(store, KIND, dataset.folder.name)
    return Health(report, job, report is not None and report.is_stale(dataset))


def report_of(folder: Path) -> Report | None:
    """The newest report; a page asks for it at every refresh, so it is read again only when it was written anew."""
    try:
        return kept_report(folder, (folder / HEALTH).stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=16)
def kept_report(folder: Path, _written: int) -> Report | None:
    """The report as it was written at this time."""
    return load(folder)


def examine(store: Store, dataset_id: str) -> JobRecord:
    """Makes the report (anew), unless that is under way."""
    store.datasets.get(dataset_id)
    return start_health(store, dataset_id)


def start_fix(store: Store, dataset_id: str, dataset: Dataset, name: str) -> JobRecord:
    """Asks for the fix of a finding: one more step of the recipe, then all rows are checked and split anew.

    Raises:
        UserError: there is no such finding (any more), no step cures it, or an experiment uses the data set now.
    """
    check_free(store, dataset_id)
    report = report_of(dataset.folder)
    finding = next((one for one in report.findings if one.name == name), None) if report else None
    if report is None or finding is None or report.is_stale(dataset):
        raise UserError(
            "The rows have changed since this was found.",
            where="health",
            fix="Wait for the new report, then choose again.",
        )
    recipe_step_for(finding)
    params = {"dataset_id": dataset_id, "changes": {}, "leave_out": dataset.leave_out, "fix": name}
    return store.jobs.create(UPDATE, params | {"steps": len(dataset.recipe.steps)}, subject=dataset_id)


def start_undo(store: Store, dataset_id: str, dataset: Dataset, index: int) -> JobRecord:
    """Asks to take one step of the recipe back; index 0 is the oldest.

    Raises:
        UserError: there is no such step, or an experiment uses the data set now.
    """
    check_free(store, dataset_id)
    Recipe.load(dataset.folder).undo(index)
    params = {"dataset_id": dataset_id, "changes": {}, "leave_out": dataset.leave_out, "undo": index}
    return store.jobs.create(UPDATE, params | {"steps": len(dataset.recipe.steps)}, subject=dataset_id)


def check_free(store: Store, dataset_id: str) -> None:
    """Whether the rows may change now.

    Raises:
        UserError: an experiment uses them, or they are being changed already.
    """
    check_idle(store, dataset_id)
    if store.jobs.list(kind=UPDATE, subject=dataset_id, active=True):
        raise UserError("The data set is being changed already.", where="data set", fix="Wait until that is done.")
