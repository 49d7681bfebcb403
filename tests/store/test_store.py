"""The store: two processes and many threads share it, a home of another version is noticed, records come back whole."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from llm_studio.errors import BugError, UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, Home, Store, records, tables
from llm_studio.store.database import MIGRATIONS, Database
from llm_studio.store.processes import own_identity


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    yield opened
    opened.close()


def add_dataset(store: Store, name: str = "stories") -> DatasetRecord:
    return store.datasets.create(
        name=name, row_count=10, train_rows=8, validation_rows=2, settings={"prompt_column": ["a"]},
        fingerprint="f1", source="starter", size_bytes=100,
    )  # fmt: skip


def add_experiment(store: Store, name: str = "first", device: str = "cpu") -> ExperimentRecord:
    dataset = next(iter(store.datasets.list()), None) or add_dataset(store)
    return store.experiments.create(
        "training: {}\n", name=name, dataset_id=dataset.id, backbone="starter", problem_type="causal_lm", device=device
    )


@pytest.mark.parametrize("name", ["Dataset", "Experiment", "Job", "Server", "Lease", "Chat"])
def test_a_record_has_the_columns_of_its_table(name: str) -> None:
    record = getattr(records, f"{name}Record")
    table = getattr(tables, f"{name.lower()}s")
    assert {field.name for field in fields(record)} == set(table.c.keys())


def test_an_experiment_is_written_with_its_config_and_a_place_in_the_queue(store: Store) -> None:
    first, second = add_experiment(store, "first"), add_experiment(store, "second")
    assert (store.home.experiment(first.id) / "config.yaml").read_text() == "training: {}\n"
    assert [record.name for record in store.experiments.list("queued")] == ["first", "second"]
    assert (first.dataset_name, first.dataset_fingerprint, first.status) == ("stories", "f1", "queued")
    assert second.queue_position is not None and first.queue_position is not None
    assert second.queue_position > first.queue_position


def test_a_refused_experiment_leaves_no_folder(store: Store) -> None:
    add_experiment(store, "first")
    with pytest.raises(UserError, match="called FIRST already"):
        add_experiment(store, "FIRST")
    with pytest.raises(UserError, match="data set does not exist"):
        store.experiments.create("", name="x", dataset_id="no", backbone="b", problem_type="causal_lm", device="cpu")
    assert len(list(store.home.experiments.iterdir())) == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_refuses_a_name_that_is_empty_or_too_long(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="The name"):
        add_experiment(store, name)
    record = add_experiment(store, "right")
    with pytest.raises(UserError, match="The name"):
        store.experiments.rename(record.id, name)


def test_offers_a_name_that_is_free(store: Store) -> None:
    assert store.experiments.free_name(" stories ") == "stories"
    add_experiment(store, "Stories")
    add_experiment(store, "stories 2")
    assert store.experiments.free_name("stories") == "stories 3"
    assert len(store.experiments.free_name("x" * 200)) <= 80


def test_a_name_is_only_shown_and_never_a_path(store: Store) -> None:
    record = add_experiment(store, "../../etc/passwd")
    assert store.home.experiment(record.id).parent == store.home.experiments
    for wrong in ("../x", "a/b", "", "x" * 41, "a.b"):
        with pytest.raises(BugError):
            store.home.experiment(wrong)


def test_stopping_a_queued_experiment_is_immediate_and_a_running_one_is_asked(store: Store) -> None:
    queued, running = add_experiment(store, "queued"), add_experiment(store, "running")
    store.experiments.claim(running.id)
    assert store.experiments.request_stop(queued.id).status == "stopped"
    asked = store.experiments.request_stop(running.id)
    assert (asked.status, asked.stop_requested) == ("running", True)


def test_an_ended_experiment_stays_ended(store: Store) -> None:
    record = add_experiment(store)
    store.experiments.claim(record.id)
    assert store.experiments.finish(record.id, "finished")
    assert not store.experiments.finish(record.id, "failed", {"what": "late"})
    assert store.experiments.set_running(record.id, *own_identity()).status == "finished"
    assert store.experiments.get(record.id).error is None


def test_scores_are_replaced_by_moment(store: Store) -> None:
    record = add_experiment(store)
    store.experiments.update(record.id, scores={"before": {"bleu": 3.1}})
    store.experiments.update(record.id, scores={"last": {"bleu": 82.4}}, progress=1.7, phase="Evaluating")
    found = store.experiments.get(record.id)
    assert found.scores == {"before": {"bleu": 3.1}, "last": {"bleu": 82.4}}
    assert (found.progress, found.phase) == (1.0, "Evaluating")


def test_an_interrupted_experiment_keeps_its_place_in_the_queue(store: Store) -> None:
    first = add_experiment(store, "first")
    add_experiment(store, "second")
    assert store.experiments.claim_next("cpu") is not None
    store.experiments.finish(first.id, "stopped")
    store.experiments.requeue(first.id, "Interrupted; goes on from its checkpoint.")
    assert [record.name for record in store.experiments.list("queued")] == ["first", "second"]


def test_a_missing_thing_is_a_user_error_in_its_own_words(store: Store) -> None:
    with pytest.raises(UserError, match="There is no data set abc"):
        store.datasets.get("abc")
    with pytest.raises(UserError, match="There is no experiment abc"):
        store.experiments.rename("abc", "x")
    assert store.experiments.find("abc") is None


def test_only_a_living_process_holds_a_device(store: Store) -> None:
    pid, started_at = own_identity()
    assert store.leases.acquire("cpu", "experiment", "a", pid, started_at)
    assert not store.leases.acquire("cpu", "experiment", "b", pid, started_at)
    assert store.leases.acquire("cpu", "experiment", "a", pid, started_at), "the holder itself may take it again"
    assert store.leases.acquire("cuda:0", "server", "b", pid, started_at)
    store.leases.release("cpu", "experiment", "b")
    assert store.leases.holder("cpu") is not None
    store.leases.release("cpu", "experiment", "a")
    assert store.leases.acquire("cpu", "experiment", "b", pid, started_at - 100), "same id, another start time: dead"
    assert store.leases.holder("cpu") is None
    assert store.leases.acquire("cpu", "experiment", "c", pid, started_at)


def test_the_same_model_is_loaded_once_for_a_device(store: Store) -> None:
    first = store.servers.request("ab12", "cpu")
    assert store.servers.request("ab12", "cpu").id == first.id
    assert store.servers.request("ab12", "cuda:0").id != first.id
    store.servers.request_stop(first.id)
    assert store.servers.get(first.id).status == "stopped"
    assert store.servers.request("ab12", "cpu").id != first.id


def test_chats_and_preferences_come_back(store: Store) -> None:
    chat = store.chats.create("ab12", "Hello", {"temperature": 0.5})
    store.chats.append(chat.id, {"role": "user", "content": "<b>hi</b>"})
    assert store.chats.get(chat.id).messages == [{"role": "user", "content": "<b>hi</b>"}]
    assert store.chats.clear(chat.id).messages == []
    store.chats.delete_of("ab12")
    assert store.chats.list("ab12") == []
    store.preferences.set("theme", "dark")
    store.preferences.set("folders", ["/a"])
    assert store.preferences.get("theme", "light") == "dark"
    assert store.preferences.get("folders") == ["/a"]
    assert store.preferences.get("nothing", 3) == 3


def test_a_job_is_cancelled_at_once_while_it_waits_and_asked_while_it_runs(store: Store) -> None:
    waiting, running = store.jobs.create("export", {}), store.jobs.create("export", {"what": "adapter"}, "ab12")
    store.jobs.claim(running.id)
    assert store.jobs.request_cancel(waiting.id).status == "cancelled"
    assert store.jobs.claim(waiting.id) is None
    assert store.jobs.request_cancel(running.id).status == "running"
    assert store.jobs.update(running.id, progress=0.5, message="half") is True
    assert [job.id for job in store.jobs.list(subject="ab12", active=True)] == [running.id]
    assert store.jobs.finish(running.id, "done", {"path": "x"})
    assert not store.jobs.finish(running.id, "failed")


def test_refuses_a_home_of_a_newer_version_and_brings_an_older_one_up(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    Store.open(home).close()
    step = ("ALTER TABLE preferences ADD COLUMN note TEXT",)
    Database(home.database, migrations=[*MIGRATIONS, step]).close()
    columns = [row[1] for row in sqlite3.connect(home.database).execute("PRAGMA table_info(preferences)")]
    assert columns == ["key", "value", "note"]
    Database(home.database, migrations=[*MIGRATIONS, step]).close()
    with pytest.raises(UserError, match="newer LLM Studio"):
        Store.open(home)


def test_a_home_of_the_first_version_gets_the_columns_of_today(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    store = Store.open(home)
    first = add_experiment(store)
    store.close()
    with sqlite3.connect(home.database) as connection:
        for column in ("continued_what", "continued_which"):
            connection.execute(f"ALTER TABLE experiments DROP COLUMN {column}")
        connection.execute("UPDATE schema_version SET version = 1")
    store = Store.open(home)
    assert store.experiments.get(first.id) == first
    store.close()


def test_a_damaged_database_says_which_file(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.database.write_bytes(b"this is not a database" * 100)
    with pytest.raises(UserError) as caught:
        Store.open(home)
    assert caught.value.where == str(home.database)


WRITER = """
import sys
from llm_studio.store import Home, Store
store = Store.open(Home(sys.argv[1]))
for number in range(40):
    store.preferences.set("turn", [sys.argv[2], number])
    store.experiments.claim_next("cpu")
    store.jobs.create("count", {"by": sys.argv[2]})
"""


def test_processes_that_write_at_once_wait_for_each_other(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    store = Store.open(home)
    for number in range(20):
        add_experiment(store, f"experiment {number}")
    command = [sys.executable, "-c", WRITER, str(home.path)]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in ("a", "b")]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    assert len(store.jobs.list("count")) == 80
    assert len(store.experiments.list("running")) == 20
    store.close()


def test_an_experiment_is_claimed_by_one_thread_alone(store: Store) -> None:
    for number in range(12):
        add_experiment(store, f"experiment {number}")
    claimed: list[str] = []

    def claim() -> None:
        while (record := store.experiments.claim_next("cpu")) is not None:
            claimed.append(record.id)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 12
