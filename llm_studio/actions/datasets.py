"""What a user can do with data sets: import, show, rename, change columns and split, delete."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from llm_studio.actions.imports import (
    ImportDraft,
    add_validation,
    cancel_import,
    change_draft,
    finish_import,
    free_name,
    import_dataset,
    import_draft,
    is_active,
    open_imports,
    preview,
    remove_validation,
    start_import,
    unused_name,
    validation_job,
)
from llm_studio.data import Dataset, open_dataset
from llm_studio.data import statistics as figures
from llm_studio.data.dataset import SETTINGS, SPLIT, STATISTICS
from llm_studio.data.prepare import Preview, prepare
from llm_studio.data.prepare import preview as preview_rows
from llm_studio.data.staging import make_settings
from llm_studio.data.statistics import Statistics
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, JobRecord, Store

__all__ = [
    "DatasetView",
    "ImportDraft",
    "add_validation",
    "cancel_import",
    "change_draft",
    "check_unused",
    "delete_dataset",
    "finish_import",
    "import_dataset",
    "import_draft",
    "is_active",
    "open_imports",
    "preview",
    "preview_settings",
    "remove_validation",
    "rename_dataset",
    "show",
    "start_import",
    "start_statistics",
    "unused_name",
    "update_settings",
    "used_by",
    "validation_job",
]


@dataclass(frozen=True)
class DatasetView:
    """All that is known of a data set; `statistics` is None until they are counted, `counting` is that job."""

    record: DatasetRecord
    dataset: Dataset
    statistics: Statistics | None
    counting: JobRecord | None
    experiments: tuple[ExperimentRecord, ...]
    leave_out: bool


def used_by(store: Store, dataset_id: str) -> tuple[ExperimentRecord, ...]:
    """The experiments that learned, learn or will learn from a data set."""
    return tuple(record for record in store.experiments.list() if record.dataset_id == dataset_id)


def show(store: Store, dataset_id: str) -> DatasetView:
    """One data set.

    Raises:
        UserError: there is none of that id, or its files are gone.
    """
    record = store.datasets.get(dataset_id)
    folder = store.home.dataset(dataset_id)
    dataset = open_dataset(folder)
    jobs = store.jobs.list(kind="dataset_statistics", subject=dataset_id)
    newest = max(jobs, key=lambda job: job.created_at, default=None)
    return DatasetView(
        record=record,
        dataset=dataset,
        statistics=figures.load(folder),
        counting=newest,
        experiments=used_by(store, dataset_id),
        leave_out=dataset.leave_out,
    )


def start_statistics(store: Store, dataset_id: str) -> JobRecord:
    """Counts the statistics (anew), unless that is under way."""
    store.datasets.get(dataset_id)
    active = store.jobs.list(kind="dataset_statistics", subject=dataset_id, active=True)
    return (
        active[0] if active else store.jobs.create("dataset_statistics", {"dataset_id": dataset_id}, subject=dataset_id)
    )


def rename_dataset(store: Store, dataset_id: str, name: str) -> None:
    """Gives a data set another name.

    Raises:
        UserError: the name is empty, too long or taken.
    """
    store.datasets.rename(dataset_id, free_name(store, name, keep=dataset_id))


def preview_settings(store: Store, dataset_id: str, changes: Mapping[str, object]) -> Preview:
    """What a data set would be with other settings; changes nothing.

    Raises:
        UserError: the settings do not fit the rows.
    """
    dataset = open_dataset(store.home.dataset(dataset_id))
    settings = make_settings({**dataset.settings.model_dump(mode="json"), **changes})
    return preview_rows(dataset.folder, settings)


def update_settings(
    store: Store, dataset_id: str, changes: Mapping[str, object], *, leave_out: bool = False
) -> DatasetRecord:
    """Changes columns or split: makes a new split and fingerprint. Finished experiments keep the old fingerprint.

    Raises:
        UserError: an experiment is running on the data set or waits for it; the settings do not fit the rows.
    """
    busy = [record for record in used_by(store, dataset_id) if record.status in ("queued", "running")]
    if busy:
        raise UserError(
            f"The data set is in use by {names(busy)}, so its columns and split cannot change now.",
            where="data set",
            fix="Stop the experiment or wait until it has ended. Or import the file again under another name.",
        )
    folder = store.home.dataset(dataset_id)
    dataset = open_dataset(folder)
    settings = make_settings({**dataset.settings.model_dump(mode="json"), **changes})
    before = {path: path.read_bytes() for path in (folder / SETTINGS, folder / SPLIT)}
    try:
        prepared = prepare(folder, settings, leave_out=leave_out)
        record = store.datasets.update(
            dataset_id,
            settings=settings.model_dump(mode="json"),
            train_rows=len(prepared.split.train),
            validation_rows=len(prepared.split.validation),
            fingerprint=prepared.split.fingerprint,
        )
    except BaseException:
        for path, content in before.items():
            path.write_bytes(content)
        raise
    if prepared.split.fingerprint != dataset.fingerprint:
        (folder / STATISTICS).unlink(missing_ok=True)
        start_statistics(store, dataset_id)
    return record


def check_unused(store: Store, dataset_id: str) -> None:
    """Whether a data set may be deleted.

    Raises:
        UserError: an experiment uses it; the text says which.
    """
    record = store.datasets.get(dataset_id)
    users = used_by(store, dataset_id)
    if users:
        raise UserError(
            f"{record.name} is used by {names(users)}, so it cannot be deleted.",
            where="data set",
            fix="Delete these experiments first." if len(users) > 1 else "Delete this experiment first.",
        )


def delete_dataset(store: Store, dataset_id: str) -> None:
    """Deletes a data set with its files.

    Raises:
        UserError: an experiment uses it; the text says which.
    """
    check_unused(store, dataset_id)
    for job in store.jobs.list(kind="dataset_statistics", subject=dataset_id, active=True):
        store.jobs.request_cancel(job.id)
    store.datasets.delete(dataset_id)
    shutil.rmtree(store.home.dataset(dataset_id), ignore_errors=True)


def names(experiments: list[ExperimentRecord] | tuple[ExperimentRecord, ...]) -> str:
    """The experiments by name: "A, B and 3 more"."""
    shown = [f"the experiment {record.name}" if not index else record.name for index, record in enumerate(experiments)]
    more = len(shown) - 3
    return ", ".join(shown[:3]) + (f" and {more} more" if more > 0 else "")
