"""What the settings of evaluations, checkpoints and rows make of an experiment."""

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions.experiments import continue_experiment, start_experiment
from llm_studio.config import make_config
from llm_studio.data import open_dataset
from llm_studio.modeling.loading import checkpoint_of
from llm_studio.modeling.origin import Origin, read_origin
from llm_studio.store import ExperimentRecord, Store
from llm_studio.tokens.stored import StoredSamples
from llm_studio.training import batches
from llm_studio.training.plan import make_plan
from llm_studio.worker.job import run
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_listener import TrainingListener
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.job_rows import augmentation_of, prepare
from tests.worker.test_job_start import ROWS, SETTINGS, backbone, begin, charts, ended, notes, store

__all__ = ["backbone", "store"]

STILL = {"training.learning_rate": 1e-30, "training.evaluation_epochs": 1.0}
"""Nothing moves, so that the first evaluation stays the best."""


def folder_of(store: Store, record: ExperimentRecord) -> Path:
    return store.home.experiment(record.id)


def step_of(checkpoint: Path) -> int:
    origin = read_origin(checkpoint)
    assert origin is not None
    return origin.step


def evaluated(store: Store, record: ExperimentRecord) -> list[int]:
    return [row["step"] for row in charts(store, record, "evaluation")]


@pytest.mark.parametrize(("patience", "evaluations"), [(0, 4), (1, 2), (2, 3)])
def test_it_ends_once_the_metric_has_not_improved_for_so_many_evaluations(
    store: Store, backbone: Path, patience: int, evaluations: int
) -> None:
    changes = {"training.epochs": 4, "training.early_stopping_patience": patience}
    record = begin(store, backbone, "still", **STILL, **changes)
    assert record.status == "finished", record.error
    steps = len(charts(store, record, "step"))
    every = steps // evaluations
    assert evaluated(store, record) == [every * number for number in range(evaluations + 1)]
    assert step_of(folder_of(store, record) / "checkpoints" / "last") == steps
    assert step_of(folder_of(store, record) / "checkpoints" / "best") == every
    assert (f"has not improved for {patience} evaluations" in notes(store, record)) == bool(patience)


@pytest.mark.parametrize(
    ("metric", "values", "patience", "begins", "ends"),
    [
        ("perplexity", [5, 4, 4.5, 3, 3, 3.5, 1], 2, 0, 6),
        ("perplexity", [5, 4, 4.5, 3, 3, 3.5, 1], 3, 0, None),
        ("perplexity", [5, 4, 4.5, 3], 1, 0, 3),
        ("bleu", [1, 2, 1.5, 3, 3, 2.5, 9], 2, 0, 6),
        ("bleu", [None, None, 1], 2, 0, 2),
        ("perplexity", [5, 6, 7, 8, 9], 2, 3, 5),
    ],
)  # fmt: skip
def test_patience_is_counted_from_the_best_evaluation_of_the_tuned_model_and_anew_in_added_epochs(
    store: Store, backbone: Path, metric: str, values: list[Any], patience: int, begins: int, ends: int | None
) -> None:
    changes = {"training.early_stopping_patience": patience, "prediction.metric": metric}
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone)}
    config = make_config(SETTINGS | named | changes)
    record = start_experiment(store, config)
    reporter = Reporter(store, record.id, threading.Event())
    before = 0.5 if metric == "perplexity" else 99.0  # the untouched backbone does not count
    for step, value in enumerate((before, *values)):
        reporter.charts.append("evaluation", {"step": step, metric: value})
    reporter.charts.flush()
    evaluations = Evaluations(store, record, config, None, [], reporter)  # type: ignore[arg-type]
    listener = TrainingListener(
        None, None, folder_of(store, record), record, make_plan(config, ROWS), evaluations, reporter,
        Origin(begins, 0.0, "", ""),
    )  # fmt: skip
    enough = [step for step in range(max(1, begins + 1), len(values) + 1) if listener._is_enough(step)]
    assert (enough[0] if enough else None) == ends
    reporter.close()


@pytest.mark.parametrize(
    ("kept", "names"),
    [
        ("last", {"last"}), ("best_and_last", {"best", "last"}),
        ("each_evaluation_epoch", {"best", "last", "step-00000004", "step-00000008"}),
    ],
)  # fmt: skip
def test_the_checkpoints_that_are_set_are_kept_each_with_the_weights_of_its_step(
    store: Store, backbone: Path, kept: str, names: set[str]
) -> None:
    record = begin(store, backbone, "kept", **STILL, **{"training.save_checkpoint": kept})
    folder = folder_of(store, record)
    found = {path.name: step_of(path) for path in (folder / "checkpoints").iterdir()}
    steps = {"best": 4, "last": 8, "step-00000004": 4, "step-00000008": 8}
    assert found == {name: steps[name] for name in names}
    assert step_of(checkpoint_of(folder, "best")) == (8 if kept == "last" else 4)
    assert record.scores["best"]["step"] == 4


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


@pytest.mark.parametrize("wanted", [True, False])
def test_the_untouched_backbone_is_scored_when_that_is_set(store: Store, backbone: Path, wanted: bool) -> None:
    changes = {"training.epochs": 1, "training.evaluate_before_training": wanted}
    record = begin(store, backbone, "before", **changes)
    assert ("before" in record.scores) == wanted
    assert (0 in evaluated(store, record)) == wanted
    assert record.status == "finished"


@pytest.mark.parametrize("also", [True, False])
def test_validation_rows_are_learned_too_when_that_is_set_and_scored_in_any_case(
    store: Store, backbone: Path, also: bool
) -> None:
    changes = {"training.epochs": 1, "training.train_validation_data": also, "training.batch_size": 1}
    record = begin(store, backbone, "rows", **changes, **{"augmentation.skip_parent_probability": 0.5})
    split = open_dataset(store.home.dataset(record.dataset_id)).split
    assert len(split.validation) > 0
    learned = len(split.train) + (len(split.validation) if also else 0)
    assert len(charts(store, record, "step")) == learned
    assert f"{learned} rows to learn from" in notes(store, record)
    assert record.scores["last"]["rows"] == len(split.validation)


@pytest.mark.parametrize(("packing", "packs"), [("auto", True), ("always", True), ("never", False)])
def test_rows_are_packed_or_padded_as_set(
    store: Store, backbone: Path, monkeypatch: pytest.MonkeyPatch, packing: str, packs: bool
) -> None:
    monkeypatch.setattr(batches, "CPU_TOKENS", 50)
    monkeypatch.setattr(batches, "CPU_ELEMENTS", 0)
    record = begin(store, backbone, "packed", **{"training.epochs": 1, "training.packing": packing})
    said = notes(store, record)
    assert (f"Rows of a batch are {'packed' if packs else 'padded'}" in said) and (
        ("Attention of packed rows" in said) == packs
    )
    assert ("about 50 tokens at a time" in said) == packs


def test_zero_epochs_score_the_backbone_and_keep_it_as_it_is(store: Store, backbone: Path) -> None:
    record = begin(store, backbone, "none", **{"training.epochs": 0})
    assert record.status == "finished", record.error
    assert charts(store, record, "step") == []
    before, last = (record.scores[name]["perplexity"] for name in ("before", "last"))
    assert math.isclose(before, last, rel_tol=1e-6)
    assert step_of(folder_of(store, record) / "checkpoints" / "last") == 0


def test_an_experiment_learns_the_rows_that_chance_has_changed(store: Store, backbone: Path) -> None:
    losses = {}
    for share in (0.0, 0.9):
        changes = {"training.epochs": 1, "augmentation.token_mask_probability": share}
        losses[share] = charts(store, begin(store, backbone, f"hides {share}", **STILL, **changes), "step")[0]["loss"]
    assert losses[0.0] != pytest.approx(losses[0.9], abs=1e-3)


@pytest.mark.parametrize("also", [True, False])
def test_turns_are_changed_in_the_conversation_of_the_row_also_where_rows_are_left_out(
    store: Store, backbone: Path, also: bool
) -> None:
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone)}
    chance = {"augmentation.skip_parent_probability": 0.5, "training.train_validation_data": also}
    record = start_experiment(store, make_config(SETTINGS | named | chance | {"experiment_name": f"also {also}"}))
    reporter = Reporter(store, record.id, threading.Event())
    prepared = prepare(store, record.dataset_id, make_config(SETTINGS | named | chance), reporter)
    kept = replace(prepared, samples=StoredSamples(prepared.samples.path, list(prepared.samples.places)[1::2]))
    for one in (prepared, kept):
        made = augmentation_of(one)
        assert made is not None
        assert [conversation.row for conversation in made.conversations] == [sample.row for sample in one.samples]
    reporter.close()
