"""Search and order of rows agree with plain Python, whatever the text, and show what is known so far."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.data import browse, open_dataset
from llm_studio.data.dataset import Table
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.rows import make_dataset


def table_of(path: Path, **columns: list[str | None]) -> Table:
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)
    return Table(path)


def quiet(share: float | None, words: str = "") -> None:
    """Hears how far it is and says nothing."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.text(max_size=6), min_size=1, max_size=40))
def test_rows_are_sorted_by_text_with_missing_values_last(
    tmp_path_factory: pytest.TempPathFactory, values: list[str | None]
) -> None:
    table = table_of(tmp_path_factory.mktemp("sorted") / "rows.parquet", a=[*values, "x"])
    held = [*values, "x"]
    order = browse.sort_rows(table, "a", quiet)
    up = [held[row] for row in order.rows(descending=False)]
    keys = [value.lower() for value in up if value is not None]
    assert keys == sorted(keys, key=str.encode) and up[len(keys) :] == [None] * held.count(None)
    down = order.rows(descending=True)
    assert order.page(0, len(held), descending=True).tolist() == down.tolist()
    assert [held[row] for row in down][len(keys) :] == [None] * held.count(None)


def test_a_column_of_numbers_is_sorted_as_numbers(tmp_path: Path) -> None:
    table = table_of(tmp_path / "rows.parquet", a=["10", "9", None, "-1.5", "1e3"])
    order = browse.sort_rows(table, "a", quiet)
    assert order.rows(descending=False).tolist() == [3, 1, 0, 4, 2]
    assert order.page(1, 3, descending=True).tolist() == [0, 1, 3]
    with pytest.raises(UserError, match="no column “b”"):
        browse.sort_rows(table, "b", quiet)


def test_a_first_look_stops_when_a_page_is_full(tmp_path: Path) -> None:
    table = table_of(tmp_path / "rows.parquet", a=["Needle"] * 20000, b=[None] * 20000)
    found = browse.first_look(table, "needle", 50)
    assert len(found.rows) >= 50 and not found.done and found.scanned < 20000
    assert browse.first_look(table, "thread", 50).done


def test_the_search_job_finds_what_the_table_finds_and_can_be_cancelled(store: Store) -> None:
    dataset_id = make_dataset(store, [{"q": f"Question {i}", "a": f"Answer {i % 7}"} for i in range(3000)])
    job = store.jobs.create("dataset_search", {"dataset_id": dataset_id, "text": "QUESTION 29"}, subject=dataset_id)
    folder = browse.browse_folder(store.home, dataset_id)
    assert browse.hits_of(folder, "QUESTION 29") is None
    assert browse.run_search(store.home, store, job, quiet) == {"count": 111}
    found = browse.hits_of(folder, "QUESTION 29")
    assert found is not None and found.tolist() == Table(store.home.dataset(dataset_id) / "rows.parquet").search(
        "question 29"
    )

    def stop(share: float | None, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        browse.run_search(store.home, store, job, stop)
    assert browse.hits_of(folder, "QUESTION 29") is None


def test_the_order_job_keeps_its_order(store: Store) -> None:
    dataset_id = make_dataset(store, [{"q": f"Question {i}", "a": str((i * 7) % 50)} for i in range(50)])
    folder = browse.browse_folder(store.home, dataset_id)
    assert browse.order_of(folder, "a") is None
    job = store.jobs.create("dataset_order", {"dataset_id": dataset_id, "column": "a"}, subject=dataset_id)
    browse.run_order(store.home, store, job, quiet)
    order = browse.order_of(folder, "a")
    assert order is not None
    assert np.array_equal(order.rows(descending=False), np.argsort([(i * 7) % 50 for i in range(50)]))


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no longer there"):
        open_dataset(tmp_path)
