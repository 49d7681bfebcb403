"""The check before a start: figures are reused exactly when nothing that shapes them has changed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.preflight import NEVER_SHAPES, key_of, look, refuse_if_busy, start_check
from llm_studio.config import ExperimentConfig, flatten, make_config
from llm_studio.data import open_dataset
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, Home, Store
from llm_studio.store.processes import own_identity
from tests.training.test_forecast import MEASURED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    import_dataset(opened, {"kind": "starter", "name": "orders_to_json"})
    yield opened
    opened.close()


def dataset_of(store: Store) -> DatasetRecord:
    return store.datasets.list()[0]


def key(config: ExperimentConfig, **changes: Any) -> str:
    return key_of(config, **{"fingerprint": "ab", "device": "cpu", "context_length": 2048, **changes})


def test_every_setting_that_is_said_to_shape_nothing_exists() -> None:
    paths = list(flatten(make_config({})))
    assert all(any(path.startswith(name) for path in paths) for name in NEVER_SHAPES)


def test_another_batch_size_length_device_or_data_set_is_another_check_and_more_epochs_are_not() -> None:
    plain = make_config({})
    for path, value in (("training.batch_size", 9), ("tokenizer.max_length", 99), ("training.lora_r", 3)):
        assert key(make_config({path: value})) != key(plain)
    assert key(plain, device="cuda:0") != key(plain)
    assert key(plain, fingerprint="cd") != key(plain)
    assert key(plain, judge="another") != key(plain)
    for path, value in (("training.epochs", 9), ("training.learning_rate", 0.1), ("experiment_name", "x")):
        assert key(make_config({path: value})) == key(plain)


def test_a_limit_beyond_what_the_backbone_reads_is_the_limit_of_the_backbone() -> None:
    longer, longest = make_config({"tokenizer.max_length": 4096}), make_config({"tokenizer.max_length": 2048})
    assert key(longer, context_length=2048) == key(longest, context_length=2048)
    assert key(longer, context_length=None) != key(longest, context_length=None)


def test_other_files_of_the_backbone_make_another_check(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"1")
    config = make_config({"llm_backbone": str(tmp_path)})
    before = key(config)
    os.utime(tmp_path / "model.safetensors", (1, 1))
    assert key(config) != before


def test_a_second_press_finds_the_check_that_runs_and_figures_are_found_when_it_has_ended(store: Store) -> None:
    dataset, config = dataset_of(store), make_config({})
    where = {"device": "cpu", "context_length": 2048}
    assert dataset.fingerprint == open_dataset(store.home.dataset(dataset.id)).fingerprint
    job = start_check(store, dataset, config, **where)
    assert start_check(store, dataset, config, **where).id == job.id
    found = look(store, dataset, config, **where)
    assert (found.is_running, found.measured) == (True, None)
    store.preflights.put(found.key, MEASURED.as_dict())
    store.jobs.finish(job.id, "done", result={"key": found.key})
    again = look(store, dataset, make_config({"training.epochs": 7}), **where)
    assert (again.is_running, again.measured) == (False, MEASURED)
    assert look(store, dataset, make_config({"training.batch_size": 7}), **where).job is None


def test_a_device_that_trains_is_named_with_its_experiment(store: Store) -> None:
    refuse_if_busy(store, "cpu")
    store.leases.acquire("cpu", "experiment", "gone", *own_identity())
    with pytest.raises(UserError, match=r"The device cpu is training an experiment\.") as caught:
        start_check(store, dataset_of(store), make_config({}), device="cpu", context_length=None)
    assert "checks again when it starts" in caught.value.fix
    refuse_if_busy(store, "cuda:0")
