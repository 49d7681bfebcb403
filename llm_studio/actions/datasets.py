"""What a user can do with data sets: import, show, rename, change columns and split, delete."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_studio.actions.finishing import (
    UPDATE,
    free_name,
    make_dataset,
    newest_job,
    start_counting,
    start_finish,
    unused_name,
    used_by,
)
from llm_studio.actions.health import Health, health_of
from llm_studio.actions.imports import (
    ImportDraft,
    add_validation,
    cancel_import,
    change_draft,
    finish_job,
    import_dataset,
    import_draft,
    is_active,
    open_imports,
    preview,
    remove_validation,
    start_import,
    start_merge,
    validation_job,
)
from llm_studio.actions.updating import names, start_update, update_settings
from llm_studio.data import Dataset, open_dataset
from llm_studio.data import statistics as figures
from llm_studio.data.browse import browse_folder
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.data.conversations import conversation_at
from llm_studio.data.dataset import ROWS, VALIDATION, Part, Table
from llm_studio.data.prepare import Preview
from llm_studio.data.prepare import preview as preview_rows
from llm_studio.data.staging import make_settings
from llm_studio.data.statistics import Statistics
from llm_studio.data.types import RowError
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import cached_snapshot, is_path, local_folder
from llm_studio.starter import BACKBONE
from llm_studio.store import DatasetRecord, ExperimentRecord, JobRecord, Store

__all__ = [
    "DatasetView",
    "ImportDraft",
    "add_validation",
    "cancel_import",
    "change_draft",
    "check_unused",
    "delete_dataset",
    "duplicate_dataset",
    "finish_job",
    "import_dataset",
    "import_draft",
    "is_active",
    "make_dataset",
    "open_imports",
    "preview",
    "preview_settings",
    "remove_validation",
    "rename_dataset",
    "show",
    "start_finish",
    "start_import",
    "start_merge",
    "start_statistics",
    "start_update",
    "unused_name",
    "update_settings",
    "used_by",
    "validation_job",
    "write_left_out",
    "write_part",
]


STARTER = "starter"


@dataclass(frozen=True)
class DatasetView:
    """All that is known of a data set; `statistics` is None until they are counted, `counting` is that job.

    updating: the newest job that changed columns or split.
    """

    record: DatasetRecord
    dataset: Dataset
    statistics: Statistics | None
    counting: JobRecord | None
    updating: JobRecord | None
    experiments: tuple[ExperimentRecord, ...]
    leave_out: bool
    health: Health


def show(store: Store, dataset_id: str) -> DatasetView:
    """One data set.

    Raises:
        UserError: there is none of that id, or its files are gone.
    """
    record = store.datasets.get(dataset_id)
    folder = store.home.dataset(dataset_id)
    dataset = open_dataset(folder)
    return DatasetView(
        record=record,
        dataset=dataset,
        statistics=figures.load(folder),
        counting=newest_job(store, "dataset_statistics", dataset_id),
        updating=newest_job(store, UPDATE, dataset_id),
        experiments=used_by(store, dataset_id),
        leave_out=dataset.leave_out,
        health=health_of(store, dataset),
    )


def start_statistics(store: Store, dataset_id: str, backbone: str = STARTER) -> JobRecord:
    """Counts the statistics (anew) with a backbone's tokenizer, unless they are being counted.

    Raises:
        UserError: the backbone is not on this machine.
    """
    store.datasets.get(dataset_id)
    return start_counting(store, dataset_id, tokenizer=str(tokenizer_folder(store, backbone)), name=backbone)


def tokenizer_folder(store: Store, backbone: str) -> Path:
    """Where the tokenizer of a backbone on this machine lies.

    Raises:
        UserError: the backbone is in no allowed folder, or would have to be fetched.
    """
    if backbone == STARTER:
        return Path(BACKBONE)
    if is_path(backbone):
        return local_folder(backbone, allowed_folders(store))
    snapshot = cached_snapshot(backbone)
    if snapshot is None:
        raise UserError(
            f"{backbone} is not on this machine.",
            where="Backbone",
            fix="Choose one of the list, or look at “What the model sees”, which fetches its tokenizer.",
        )
    return snapshot


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


def duplicate_dataset(store: Store, dataset_id: str) -> DatasetRecord:
    """A second data set with the same rows, to be changed apart; the rows share their place on disk.

    Raises:
        UserError: there is none of that id.
    """
    record = store.datasets.get(dataset_id)
    source = store.home.dataset(dataset_id)
    fresh = secrets.token_hex(5)
    target = store.home.dataset(fresh)
    shutil.copytree(source, target, copy_function=link_rows)
    values = asdict(record) | {"id": fresh, "name": unused_name(store, record.name)}
    values.pop("created_at")
    try:
        return store.datasets.create(**values)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def write_part(dataset: Dataset, part: Part, path: Path) -> int:
    """Writes the rows of a part as JSON Lines: the values as the file held them, and "row", counted from 1.

    Raises:
        UserError: the file cannot be written.
    """
    rows = dataset.split.rows(part)
    own = dataset.folder / VALIDATION if part == "validation" and dataset.split.own_file else dataset.folder / ROWS
    try:
        with path.open("w", encoding="utf-8") as file:
            for row, cells in Table(own).take(rows):
                file.write(json.dumps({**cells, "row": row + 1}, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(
            f"The file cannot be written: {error.strerror}.", where=str(path), fix="Choose another place."
        ) from None
    return len(rows)


def write_left_out(dataset: Dataset, path: Path) -> int:
    """Writes the rows that no experiment reads as JSON Lines, each with "row" (from 1) and "reason"."""
    rows = dataset.split.left_out
    dropped = dataset.recipe.dropped(dataset.row_count)
    table = dataset.table_of("train")
    with path.open("w", encoding="utf-8") as file:
        for row, cells in dataset.table.take(rows):
            try:
                conversation_at(table, row, dataset.settings)
                reason = "left out by a fix" if dropped[row] else "not needed: not sampled, or part of a longer thread"
            except RowError as error:
                reason = f"{error.column}: {error.reason}" if error.column else error.reason
            file.write(json.dumps({**cells, "row": row + 1, "reason": reason}, ensure_ascii=False) + "\n")
    return len(rows)


def link_rows(source: str, target: str) -> None:
    """Rows never change, so a second name is enough; all else is copied."""
    if source.endswith(".parquet"):
        try:
            os.link(source, target)
            return
        except OSError:  # a file system without links
            pass
    shutil.copy2(source, target)


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
    for job in store.jobs.list(subject=dataset_id, active=True):
        store.jobs.request_cancel(job.id)
    store.datasets.delete(dataset_id)
    shutil.rmtree(store.home.dataset(dataset_id), ignore_errors=True)
    shutil.rmtree(browse_folder(store.home, dataset_id), ignore_errors=True)
