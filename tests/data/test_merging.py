"""Two data sets become one import: columns mapped, every row kept, repeated rows said."""

from typing import Any

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.data import merging
from llm_studio.errors import UserError
from llm_studio.store import JobRecord, Store
from tests.support.rows import make_dataset


def quiet(share: float | None, words: str) -> None:
    """Hears how far it is and says nothing."""


def merged(store: Store, first: str, second: str, mapping: dict[str, str]) -> JobRecord:
    job = actions.start_merge(store, first, second, mapping)
    store.jobs.finish(job.id, "done", result=merging.run(store.home, store, job, quiet))
    return job


def rows(count: int, question: str, answer: str, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [{question: f"Q {i}", answer: f"A {i}", **more} for i in range(first, first + count)]


def test_columns_of_the_same_use_are_proposed(store: Store) -> None:
    one = make_dataset(store, rows(30, "question", "answer", source="x"), name="One")
    two = make_dataset(store, rows(30, "prompt", "output", source="y"), name="Two")
    datasets = [actions.show(store, dataset_id).dataset for dataset_id in (one, two)]
    assert merging.proposed(*datasets) == {"prompt": "question", "output": "answer", "source": "source"}


def test_the_rows_of_both_come_one_after_the_other_and_repeated_ones_are_counted(store: Store) -> None:
    one = make_dataset(store, rows(30, "question", "answer", source="x"), name="One")
    two = make_dataset(store, rows(20, "prompt", "output", first=25), name="Two")
    job = merged(store, one, two, {"prompt": "question", "output": "answer"})
    held = actions.import_draft(store, job.id)
    assert held.draft is not None and held.reading is not None
    assert held.reading.row_count == 50
    assert held.reading.notes == (
        "Rows 1 to 30 are from One, the others from Two.",
        "5 of the 20 rows of Two stand in One too.",
    )
    record = actions.make_dataset(
        store,
        store.home.staging / job.id,
        name="Both",
        settings=held.draft.dataset_settings(),
    )
    dataset = actions.show(store, record.id).dataset
    assert dataset.row(29) == {"question": "Q 29", "answer": "A 29", "source": "x"}
    assert dataset.row(30) == {"question": "Q 25", "answer": "A 25", "source": None}
    assert {job.id for job in actions.open_imports(store)} == set()


def test_two_columns_for_one_place_are_refused(store: Store) -> None:
    one = make_dataset(store, rows(30, "question", "answer"), name="One")
    two = make_dataset(store, rows(30, "prompt", "output"), name="Two")
    with pytest.raises(UserError, match="Two columns go to “answer”"):
        actions.start_merge(store, one, two, {"prompt": "answer", "output": "answer"})
    with pytest.raises(UserError, match="No column of the second data set"):
        actions.start_merge(store, one, two, {})


def test_a_duplicate_is_a_data_set_of_its_own(store: Store) -> None:
    one = make_dataset(store, rows(30, "question", "answer"), name="One")
    copy = actions.duplicate_dataset(store, one)
    assert copy.name == "One 2" and copy.fingerprint == store.datasets.get(one).fingerprint
    actions.update_settings(store, copy.id, {"validation_size": 10.0})
    assert len(actions.show(store, one).dataset.split.validation) == 6
    actions.delete_dataset(store, one)
    assert actions.show(store, copy.id).dataset.row(3)["answer"] == "A 3"
