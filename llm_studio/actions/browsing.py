"""What a page of rows shows: found by a search, in an order, or as the file has them; jobs do what takes longer."""

from dataclasses import dataclass

import numpy as np

from llm_studio.data import Dataset
from llm_studio.data.browse import Order, browse_folder, first_look, hits_of, order_of, save_order, sort_rows
from llm_studio.store import JobRecord, Store

SEARCH, ORDER = "dataset_search", "dataset_order"
SORTED_AT_ONCE = 20_000
"""So many rows are sorted within a click."""


@dataclass(frozen=True)
class Found:
    """Row numbers of a page, and of how many; the jobs that still look or sort (or the last ones that did)."""

    rows: tuple[int, ...]
    total: int
    searching: JobRecord | None = None
    sorting: JobRecord | None = None


def browse(
    store: Store, dataset: Dataset, *, search: str, order: str, descending: bool, offset: int, limit: int
) -> Found:
    """A page of rows. A search or an order that is new starts its job and shows what is known already."""
    dataset_id = dataset.folder.name
    folder = browse_folder(store.home, dataset_id)
    sorting = None
    sorted_by: Order | None = None
    if order:
        sorted_by = order_of(folder, order)
        if sorted_by is None and dataset.row_count <= SORTED_AT_ONCE:
            sorted_by = sort_rows(dataset.table, order, lambda share: None)
            save_order(folder, order, sorted_by)
        elif sorted_by is None:
            sorting = job_of(store, ORDER, dataset_id, {"column": order})
    if not search:
        page = tuple(range(offset, min(offset + limit, dataset.row_count)))
        if sorted_by is not None:
            page = tuple(sorted_by.page(offset, limit, descending=descending).tolist())
        return Found(page, dataset.row_count, None, sorting)
    hits = hits_of(folder, search)
    searching = None
    if hits is None:
        look = first_look(dataset.table, search, offset + limit)
        hits = look.rows
        if not look.done:
            searching = job_of(store, SEARCH, dataset_id, {"text": search})
    else:
        searching = newest(store, SEARCH, dataset_id, {"text": search})
    if sorted_by is not None:
        wanted = np.zeros(dataset.row_count, dtype=np.bool_)
        wanted[hits] = True
        inside = sorted_by.rows(descending=descending)
        hits = inside[wanted[inside]]
    return Found(tuple(hits[offset : offset + limit].tolist()), len(hits), searching, sorting)


def newest(store: Store, kind: str, dataset_id: str, params: dict[str, str]) -> JobRecord | None:
    """The newest job of this kind with these parameters."""
    jobs = store.jobs.list(kind=kind, subject=dataset_id)
    wanted = {"dataset_id": dataset_id, **params}
    return next((job for job in jobs if job.params == wanted), None)


def job_of(store: Store, kind: str, dataset_id: str, params: dict[str, str]) -> JobRecord:
    """The job that does this, started now unless it is under way or was cancelled; others of its kind are ended."""
    for other in store.jobs.list(kind=kind, subject=dataset_id, active=True):
        if other.params != {"dataset_id": dataset_id, **params}:
            store.jobs.request_cancel(other.id)
    found = newest(store, kind, dataset_id, params)
    if found is not None and found.status != "done":
        return found
    return store.jobs.create(kind, {"dataset_id": dataset_id, **params}, subject=dataset_id)
