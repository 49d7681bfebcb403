"""Changes the rows of a data set after its import: other columns, another split, a fix, a fix undone."""

from collections.abc import Mapping
from pathlib import Path

from llm_studio.actions.finishing import UPDATE, check_preview, quiet, start_counting, start_health, used_by
from llm_studio.data import open_dataset
from llm_studio.data.dataset import SETTINGS, STATISTICS, Split
from llm_studio.data.fixes.recipe import Recipe, recipe_step_for
from llm_studio.data.health.report import load as load_health
from llm_studio.data.prepare import prepare
from llm_studio.data.reading.progress import Report
from llm_studio.data.splitting.stored_split import CODES, OWN_CODES, SPLIT
from llm_studio.data.staging import make_settings
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, Home, JobRecord, Store


def start_update(store: Store, dataset_id: str, changes: Mapping[str, object], *, leave_out: bool = False) -> JobRecord:
    """Asks for a new split with other settings; a job checks all rows and splits them anew.

    Raises:
        UserError: an experiment is running on the data set or waits for it; what the preview tells already.
    """
    check_idle(store, dataset_id)
    dataset = open_dataset(store.home.dataset(dataset_id))
    settings = make_settings({**dataset.settings.model_dump(mode="json"), **changes})
    check_preview(dataset.folder, settings, leave_out=leave_out)
    active = store.jobs.list(kind=UPDATE, subject=dataset_id, active=True)
    if active:
        raise UserError("The data set is being changed already.", where="data set", fix="Wait until that is done.")
    params = {"dataset_id": dataset_id, "changes": dict(changes), "leave_out": leave_out}
    return store.jobs.create(UPDATE, params, subject=dataset_id)


def run_update(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """The work of `start_update`, and of a fix ("fix": name of a finding) or of one that is undone ("undo": its index).

    "steps" is the number of steps of the recipe before, so that a job that is done again does not fix twice.
    """
    params = job.params
    folder = home.dataset(str(params["dataset_id"]))
    recipe = Recipe.load(folder)
    before = recipe.steps
    try:
        if len(before) == params.get("steps"):
            change_recipe(folder, recipe, fix=params.get("fix"), undo=params.get("undo"))
        record = update_settings(
            store, str(params["dataset_id"]), params["changes"], leave_out=bool(params["leave_out"]), report=report
        )
    except (UserError, Cancelled):
        Recipe(folder, before).save()
        raise
    return {"train_rows": record.train_rows, "validation_rows": record.validation_rows}


def change_recipe(folder: Path, recipe: Recipe, *, fix: str | None, undo: int | None) -> None:
    """One step more or less, saved.

    Raises:
        UserError: there is no such finding or step.
    """
    if undo is not None:
        recipe.undo(undo)
    if fix is not None:
        report = load_health(folder)
        finding = next((one for one in report.findings if one.name == fix), None) if report else None
        if finding is None:
            raise UserError("This finding is no longer there.", where="health", fix="Look at the new report.")
        recipe.add_step(recipe_step_for(finding))
    recipe.save()


def update_settings(
    store: Store,
    dataset_id: str,
    changes: Mapping[str, object],
    *,
    leave_out: bool = False,
    report: Report = quiet,
) -> DatasetRecord:
    """Changes columns or split: makes a new split and fingerprint. Finished experiments keep the old fingerprint.

    Raises:
        UserError: an experiment is running on the data set or waits for it; the settings do not fit the rows.
        Cancelled: from `report`; nothing has changed then.
    """
    check_idle(store, dataset_id)
    folder = store.home.dataset(dataset_id)
    dataset = open_dataset(folder)
    settings = make_settings({**dataset.settings.model_dump(mode="json"), **changes})
    before = {
        name: (folder / name).read_bytes() for name in (SETTINGS, SPLIT, CODES, OWN_CODES) if (folder / name).is_file()
    }
    try:
        prepared = prepare(folder, settings, leave_out=leave_out, report=report)
        record = store.datasets.update(dataset_id, settings=settings.model_dump(mode="json"), **counts(prepared.split))
    except BaseException:
        for name, content in before.items():
            (folder / name).write_bytes(content)
        raise
    if prepared.split.fingerprint != dataset.fingerprint:
        (folder / STATISTICS).unlink(missing_ok=True)
        start_counting(store, dataset_id)
        start_health(store, dataset_id)
    return record


def counts(split: Split) -> dict[str, object]:
    """What the list of data sets says of a split."""
    return {
        "train_rows": len(split.train),
        "validation_rows": len(split.validation),
        "fingerprint": split.fingerprint,
    }


def check_idle(store: Store, dataset_id: str) -> None:
    """Whether rows and split may change.

    Raises:
        UserError: an experiment is running on the data set or waits for it.
    """
    busy = [record for record in used_by(store, dataset_id) if record.status in ("queued", "running")]
    if busy:
        raise UserError(
            f"The data set is in use by {names(busy)}, so its columns and split cannot change now.",
            where="data set",
            fix="Stop the experiment or wait until it has ended. Or import the file again under another name.",
        )


def names(experiments: list[ExperimentRecord] | tuple[ExperimentRecord, ...]) -> str:
    """The experiments by name: "A, B and 3 more"."""
    shown = [f"the experiment {record.name}" if not index else record.name for index, record in enumerate(experiments)]
    more = len(shown) - 3
    return ", ".join(shown[:3]) + (f" and {more} more" if more > 0 else "")
