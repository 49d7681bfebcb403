"""The check before a start as its own process: it measures, gives the device back, and says plainly when it cannot."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.preflight import HOLDER, figures_of, forecast_of, look, start_check
from llm_studio.config import ExperimentConfig, make_config
from llm_studio.store import Home, JobRecord, Store
from llm_studio.store.processes import own_identity
from llm_studio.worker.experiment_queue import ExperimentQueue
from llm_studio.worker.start import DATA_JOB
from tests.support.tuned import make_backbone

LIMIT_SECONDS = 120
WHERE: dict[str, Any] = {"device": "cpu", "context_length": 256}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    rows = [{"prompt": f"What is {row}? " + "so " * (row % 7), "answer": f"A hat {row}."} for row in range(40)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def config_of(store: Store, backbone: Path, **changes: Any) -> ExperimentConfig:
    settings = {
        "dataset_id": store.datasets.list()[0].id,
        "llm_backbone": str(backbone),
        "environment.gpus": "cpu",
        "training.batch_size": 8,
        "prediction.max_length_inference": 12,
        "prediction.max_generated_rows": 4,
    }
    return make_config(settings | changes)


def process_of(store: Store, job: JobRecord) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*DATA_JOB, job.id, "--home", str(store.home.path)])


def wait_until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.slow
def test_a_check_measures_on_the_device_keeps_its_figures_and_leaves_nothing_else(store: Store, backbone: Path) -> None:
    dataset, config = store.datasets.list()[0], config_of(store, backbone)
    job = start_check(store, dataset, config, **WHERE)
    assert process_of(store, job).wait(LIMIT_SECONDS) == 0, store.jobs.get(job.id).error
    found = look(store, dataset, config, **WHERE)
    assert found.measured is not None and not found.is_running
    measured = found.measured
    assert (measured.rows, measured.step_rows, measured.rows_at_once) == (dataset.train_rows, 8, 8)
    assert measured.generated_rows == 4
    assert 0 < measured.base_bytes < measured.peak_bytes < measured.device_bytes
    assert measured.step_seconds > 0 and measured.steps_timed >= 3
    assert 0 < measured.checkpoint_bytes < measured.resume_bytes < 10_000_000
    once = forecast_of(store, measured, config.with_changes({"training.epochs": 1}))
    twice = forecast_of(store, measured, config.with_changes({"training.epochs": 2}))
    assert twice.steps == 2 * once.steps
    assert twice.training_seconds > once.training_seconds
    assert store.leases.holder("cpu") is None
    assert not list(store.home.staging.glob(f"{job.id}*"))


@pytest.mark.slow
def test_an_experiment_waits_for_the_check_and_a_cancelled_check_gives_the_device_back(
    store: Store, backbone: Path
) -> None:
    dataset, config = store.datasets.list()[0], config_of(store, backbone)
    job = start_check(store, dataset, config, **WHERE)
    process = process_of(store, job)
    wait_until(lambda: store.leases.holder("cpu") is not None)
    holder = store.leases.holder("cpu")
    assert holder is not None and (holder.holder_kind, holder.holder_id) == (HOLDER, job.id)
    record = store.experiments.create(
        "", name="x", dataset_id=dataset.id, backbone="starter", problem_type="causal_lm", device="cpu"
    )
    ExperimentQueue(store, command=("false",)).tick()
    waiting = store.experiments.get(record.id)
    assert (waiting.status, waiting.phase) == ("queued", "Waiting: a check measures on cpu")
    store.jobs.request_cancel(job.id)
    assert process.wait(LIMIT_SECONDS) == 0
    assert store.jobs.get(job.id).status == "cancelled"
    assert store.leases.holder("cpu") is None
    assert figures_of(store, look(store, dataset, config, **WHERE).key) is None


@pytest.mark.slow
def test_a_check_beside_an_experiment_ends_with_the_name_of_what_trains(store: Store, backbone: Path) -> None:
    dataset, config = store.datasets.list()[0], config_of(store, backbone)
    job = start_check(store, dataset, config, **WHERE)
    record = store.experiments.create(
        "", name="bold otter", dataset_id=dataset.id, backbone="starter", problem_type="causal_lm", device="cpu"
    )
    store.leases.acquire("cpu", "experiment", record.id, *own_identity())
    assert process_of(store, job).wait(LIMIT_SECONDS) == 1
    error = store.jobs.get(job.id).error
    assert error is not None
    assert error["what"] == "The device cpu is training 'bold otter'."
    assert error["fix"] == "Check when it has ended. The experiment itself checks again when it starts."
