"""What the settings of evaluations, checkpoints and rows make of an experiment."""

import threading
from pathlib import Path

from llm_studio.actions.experiments import continue_experiment, start_experiment
from llm_studio.config import make_config
from llm_studio.modeling.origin import read_origin
from llm_studio.store import ExperimentRecord, Store
from llm_studio.worker.job import run
from tests.worker.test_job_start import SETTINGS, backbone, ended, store

__all__ = ["backbone", "store"]

STILL = {"training.learning_rate": 1e-30, "training.evaluation_epochs": 1.0}
"""Nothing moves, so that the first evaluation stays the best."""


def folder_of(store: Store, record: ExperimentRecord) -> Path:
    return store.home.experiment(record.id)


def step_of(checkpoint: Path) -> int:
    origin = read_origin(checkpoint)
    assert origin is not None
    return origin.step


def test_the_best_scores_are_those_of_a_checkpoint_even_after_it_could_not_be_written(
    store: Store, backbone: Path
) -> None:
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone), "experiment_name": "full"}
    record = start_experiment(store, make_config(SETTINGS | named | STILL))
    hinders = folder_of(store, record) / "checkpoints" / "best.part"
    hinders.parent.mkdir()
    hinders.touch()
    store.experiments.claim(record.id)
    run(store, record.id, threading.Event())
    assert store.experiments.get(record.id).status == "failed"
    hinders.unlink()
    record = ended(store, continue_experiment(store, record.id))
    assert record.status == "finished", record.error
    assert step_of(hinders.with_name("best")) == record.scores["best"]["step"] == 4
