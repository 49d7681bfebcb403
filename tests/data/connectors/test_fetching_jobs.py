"""The data job that fetches and reads: what is left when it is done, when it fails and when the user cancels it."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from llm_studio.actions.datasets import add_validation, import_dataset, import_draft, open_imports, start_import
from llm_studio.data.connectors.form import take_form
from llm_studio.data.jobs import import_read
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import JobRecord, Store
from tests.support.hub import Hub, Repository, running_hub
from tests.support.web import StopsAfter, quiet


def shard(first: int) -> bytes:
    buffer = io.BytesIO()
    rows = range(first, first + 30)
    table = pa.table({"question": [f"Question {row}?" for row in rows], "answer": [f"Answer {row}" for row in rows]})
    pq.write_table(table, buffer)
    return buffer.getvalue()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with one data set of two shards and a split of its own for scores."""
    files = {
        "data/train-00000-of-00002.parquet": shard(0),
        "data/train-00001-of-00002.parquet": shard(30),
        "data/test-00000-of-00001.parquet": shard(60),
    }
    with running_hub() as found:
        found.repositories["datasets/someone/questions"] = Repository(files)
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


def started(store: Store, **typed: str) -> JobRecord:
    return start_import(store, take_form(store, "hub", {"repository": "someone/questions", **typed}))


def test_a_split_in_shards_becomes_one_draft_and_what_was_fetched_goes(hub: Hub, store: Store) -> None:
    job = started(store)
    said: list[str] = []
    assert import_read(store.home, store, job, lambda share, words: said.append(words)) == {"name": "questions"}
    store.jobs.finish(job.id, "done", result={})
    draft = import_draft(store, job.id)
    assert draft.reading is not None and draft.draft is not None
    assert draft.reading.row_count == 60
    assert draft.draft.source == "hub:someone/questions, from the Hugging Face Hub"
    assert not (store.home.staging / job.id / "fetched").exists()
    assert any(words.startswith("Downloading") for words in said)
    assert len(open_imports(store)) == 1


def test_a_split_can_be_the_validation_file_of_another_import(hub: Hub, store: Store) -> None:
    job = started(store)
    store.jobs.finish(job.id, "done", result=import_read(store.home, store, job, quiet))
    own = add_validation(store, job.id, take_form(store, "hub", {"repository": "someone/questions", "split": "test"}))
    import_read(store.home, store, own, quiet)
    validation = import_draft(store, job.id).validation
    assert validation is not None and validation.row_count == 30
    both = add_validation(store, job.id, take_form(store, "hub", {"repository": "someone/questions"}))
    with pytest.raises(UserError, match="has 2 files"):
        import_read(store.home, store, both, quiet)
    assert [path.name for path in store.home.staging.iterdir()] == [job.id]


@pytest.mark.parametrize("calls", range(6))
def test_a_cancel_at_any_moment_leaves_nothing(calls: int, hub: Hub, store: Store) -> None:
    with pytest.raises(Cancelled):
        import_read(store.home, store, started(store), StopsAfter(calls))
    assert list(store.home.staging.iterdir()) == []


def test_a_failure_leaves_nothing_and_the_job_can_run_again(hub: Hub, store: Store) -> None:
    job = started(store)
    kept = hub.repositories.pop("datasets/someone/questions")
    with pytest.raises(UserError, match="has no data set"):
        import_read(store.home, store, job, quiet)
    assert list(store.home.staging.iterdir()) == []
    left: Any = store.home.staging / job.id / "fetched"
    left.mkdir(parents=True)
    (left / "half.parquet").write_bytes(b"half")
    hub.repositories["datasets/someone/questions"] = kept
    assert import_read(store.home, store, job, quiet) == {"name": "questions"}


def test_the_command_line_imports_in_one_call(hub: Hub, store: Store) -> None:
    record = import_dataset(store, {"kind": "hub", "repository": "someone/questions"})
    assert (record.name, record.row_count) == ("questions", 60)
    assert list(store.home.staging.iterdir()) == []
