"""The forecast as an experiment begins: told once, from figures that are there or measured now, and without a trace."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.preflight import key_of
from llm_studio.config import make_config
from llm_studio.data import open_dataset
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.worker import job_forecast
from llm_studio.worker.job import run
from tests.support.tuned import make_backbone
from tests.training.test_forecast import MEASURED


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    file = tmp_path / "rows.csv"
    file.write_text("prompt,answer\n" + "".join(f"What is {row}?,A hat {row}.\n" for row in range(30)))
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def ran(store: Store, backbone: Path, name: str) -> ExperimentRecord:
    settings: dict[str, Any] = {
        "dataset_id": store.datasets.list()[0].id,
        "llm_backbone": str(backbone),
        "experiment_name": name,
        "tokenizer.max_length": 128,
        "environment.gpus": "cpu",
        "training.epochs": 1,
        "training.batch_size": 4,
        "training.lora_dropout": 0.2,
        "prediction.max_length_inference": 4,
        "prediction.max_generated_rows": 2,
    }
    record = start_experiment(store, make_config(settings))
    store.experiments.claim(record.id)
    assert run(store, record.id, threading.Event()) == 0, store.experiments.get(record.id).error
    return record


def rows(store: Store, record: ExperimentRecord, kind: str) -> list[dict[str, Any]]:
    return [row for _, _, row in ChartsDb(store.home.experiment(record.id)).read(kinds=(kind,))]


@pytest.mark.slow
def test_measuring_before_the_start_changes_no_loss_of_the_experiment(
    store: Store, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ran(store, backbone, "plain")
    assert rows(store, plain, "forecast") == []
    assert any("too short for measuring" in row["text"] for row in rows(store, plain, "note"))
    monkeypatch.setattr(job_forecast, "SHORT_SECONDS", 0.0)
    measured = ran(store, backbone, "measured")
    (told,) = rows(store, measured, "forecast")
    assert told["text"].startswith("Fits: peak ") and told["seconds"] > 0
    first, second = rows(store, plain, "step"), rows(store, measured, "step")
    assert len(first) > 3
    assert [row["loss"] for row in second] == [row["loss"] for row in first]
    assert [row["gradient_norm"] for row in second] == [row["gradient_norm"] for row in first]
    scores = [store.experiments.get(one.id).scores["last"]["perplexity"] for one in (plain, measured)]
    assert scores[0] == scores[1]
    assert not (store.home.experiment(measured.id) / "preflight").exists()


@pytest.mark.slow
def test_figures_of_the_last_hour_are_reused_even_by_a_short_experiment(store: Store, backbone: Path) -> None:
    dataset = store.datasets.list()[0]
    config = make_config(
        {
            "dataset_id": dataset.id,
            "llm_backbone": str(backbone),
            "tokenizer.max_length": 128,
            "environment.gpus": "cpu",
            "training.batch_size": 4,
            "training.lora_dropout": 0.2,
            "prediction.max_length_inference": 4,
            "prediction.max_generated_rows": 2,
        }
    )
    fingerprint = open_dataset(store.home.dataset(dataset.id)).fingerprint
    key = key_of(config, fingerprint=fingerprint, device="cpu", context_length=256)
    store.preflights.put(key, MEASURED.as_dict())
    (told,) = rows(store, ran(store, backbone, "reused"), "forecast")
    assert (told["step_seconds"], told["memory_bytes"]) == (MEASURED.step_seconds, MEASURED.peak_bytes)
