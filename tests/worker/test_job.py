"""The process of one experiment, from its config to its checkpoints: what it leaves behind, and how it ends."""

import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import sacrebleu
import torch

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import continue_experiment, start_experiment
from llm_studio.config import make_config
from llm_studio.data import open_dataset
from llm_studio.modeling.loading import load_experiment
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.store.processes import own_identity
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.worker.job import run
from llm_studio.worker.start import run_experiment
from tests.support.tuned import make_backbone

LIMIT_SECONDS = 240
ROWS = 40
WORDS = ("red kite", "blue cup", "green mug", "old map", "new hat")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    rows = [{"prompt": f"What is {row}?", "answer": f"A {WORDS[row % 5]}."} for row in range(ROWS)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def started(store: Store, backbone: Path | str, **changes: Any) -> ExperimentRecord:
    settings = {
        "dataset_id": store.datasets.list()[0].id,
        "llm_backbone": str(backbone),
        "experiment_name": "rows",
        "environment.gpus": "cpu",
        "training.epochs": 2,
        "training.batch_size": 8,
        "training.learning_rate": 5e-3,
        "tokenizer.max_length": 256,
        "prediction.max_length_inference": 12,
        "prediction.max_generated_rows": 5,
    }
    return start_experiment(store, make_config(settings | changes))


def process_of(store: Store, record: ExperimentRecord) -> "subprocess.Popen[bytes]":
    process = run_experiment(store, record, ends_with_parent=True)
    assert process is not None
    return process


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert process.poll() is None, "the process ended before it happened"
        assert time.monotonic() < limit
        time.sleep(0.05)


def charts(store: Store, record: ExperimentRecord, kind: str) -> list[dict[str, Any]]:
    return [row for _, _, row in ChartsDb(store.home.experiment(record.id)).read(kinds=(kind,))]


def log_of(store: Store, record: ExperimentRecord) -> str:
    return (store.home.experiment(record.id) / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_experiment_leaves_charts_predictions_checkpoints_and_scores_that_a_plain_computation_confirms(
    store: Store, backbone: Path
) -> None:
    record = started(store, backbone)
    assert process_of(store, record).wait(LIMIT_SECONDS) == 0, log_of(store, record)
    record = store.experiments.get(record.id)
    folder = store.home.experiment(record.id)
    assert (record.status, record.progress, record.error) == ("finished", 1.0, None)
    assert set(record.scores) == {"before", "last", "best"}

    steps = charts(store, record, "step")
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert steps[-1]["loss"] < steps[0]["loss"]
    evaluations = charts(store, record, "evaluation")
    assert evaluations[0]["step"] == 0
    assert evaluations[-1]["step"] == steps[-1]["step"] == record.scores["last"]["step"]
    assert not (folder / "checkpoints" / "resume").exists()

    table = parquet.read_table(folder / "predictions" / f"{steps[-1]['step']:08d}.parquet").to_pylist()
    nats, tokens = plain_nats(store, record)
    assert sum(row["answer_tokens"] for row in table) == tokens
    assert sum(row["nll_nats"] for row in table) == pytest.approx(nats, rel=1e-4)
    assert record.scores["last"]["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    answered = [row for row in table if row["output"] is not None]
    outputs, targets = [row["output"] for row in answered], [row["target"] for row in answered]
    assert record.scores["last"]["bleu"] == pytest.approx(sacrebleu.corpus_bleu(outputs, [targets]).score)
    exact = [output == target for output, target in zip(outputs, targets, strict=True)]
    assert record.scores["last"]["exact_match"] == pytest.approx(sum(exact) / len(exact))
    assert record.scores["before"]["perplexity"] > record.scores["last"]["perplexity"]

    log = log_of(store, record)
    assert "32 bits" in log or "bfloat16" in log
    assert "validation rows get a generated answer" in log
    assert "Warning" not in log
    assert store.leases.holder("cpu") is None


def plain_nats(store: Store, record: ExperimentRecord) -> tuple[float, int]:
    """Nats of the answers and their number of tokens, one row at a time, with the checkpoint read back."""
    loaded = load_experiment(store.home.experiment(record.id), which="last", device="cpu")
    nats, tokens = 0.0, 0
    for conversation in open_dataset(store.home.dataset(record.dataset_id)).conversations("validation"):
        sample = loaded.template.encode(conversation)
        with torch.no_grad():
            chances = loaded.model(input_ids=torch.tensor([sample.input_ids])).logits[0].log_softmax(-1)
        for place, label in enumerate(sample.labels):
            if label != IGNORE_INDEX:
                nats -= float(chances[place - 1, label])
                tokens += 1
    return nats, tokens


@pytest.mark.slow
@pytest.mark.parametrize("how", ["asked in the store", "SIGTERM"])
def test_a_stopped_experiment_saves_and_goes_on_to_its_end(store: Store, backbone: Path, how: str) -> None:
    record = started(store, backbone, **{"training.epochs": 40, "training.evaluation_epochs": 40.0})
    process = process_of(store, record)
    wait_until(lambda: len(charts(store, record, "step")) >= 3, process)
    asked_at = time.monotonic()
    if how == "SIGTERM":
        os.kill(process.pid, signal.SIGTERM)
    else:
        store.experiments.request_stop(record.id)
    assert process.wait(LIMIT_SECONDS) == 0
    assert time.monotonic() - asked_at < 10
    assert store.experiments.get(record.id).status == "stopped"
    folder = store.home.experiment(record.id) / "checkpoints"
    assert (folder / "last" / "adapter_model.safetensors").is_file()
    assert not list(folder.rglob("training_args.bin"))
    done = max(row["step"] for row in charts(store, record, "step"))

    continue_experiment(store, record.id)
    assert process_of(store, store.experiments.get(record.id)).wait(LIMIT_SECONDS) == 0
    assert store.experiments.get(record.id).status == "finished"
    steps = [row["step"] for row in charts(store, record, "step")]
    assert steps == list(range(1, len(steps) + 1))
    assert f"Going on from step {done} of {len(steps)}" in log_of(store, record)


def run_here(store: Store, record: ExperimentRecord) -> dict[str, str]:
    """Run it in this process and give the error it ended with."""
    assert store.experiments.claim(record.id) is not None
    run(store, record.id, threading.Event())
    ended = store.experiments.get(record.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert store.leases.holder("cpu") is None
    return ended.error


def test_tokens_are_made_once_and_long_rows_are_counted_and_said(store: Store, backbone: Path) -> None:
    changes = {"training.epochs": 0, "training.evaluate_before_training": False, "tokenizer.max_length": 32}
    long = {"dataset.chat_template": "markers", "dataset.text_prompt_start": "Read this with care. " * 5}
    notes = []
    for name in ("one", "two"):
        record = started(store, backbone, **{"experiment_name": name, **changes, **long})
        error = run_here(store, record)
        assert "are longer than 32 tokens" in error["what"]
        notes.append(" ".join(row["text"] for row in charts(store, record, "note")))
    train_rows = len(open_dataset(store.home.dataset(record.dataset_id)).split.train)
    for text, known in zip(notes, (False, True), strict=True):
        assert ("tokens of the train rows are known from before" in text) == known
        assert f"Left out: {train_rows} rows" in text


def test_validation_rows_that_are_too_long_are_scored_and_said(store: Store, backbone: Path) -> None:
    shorter = {"training.epochs": 0, "tokenizer.max_length": 32, "tokenizer.truncation": "cut"}
    long = {"dataset.chat_template": "markers", "dataset.text_prompt_start": "Read this with care. " * 5}
    record = started(store, backbone, **shorter, **long)
    store.experiments.claim(record.id)
    run(store, record.id, threading.Event())
    record = store.experiments.get(record.id)
    held_out = len(open_dataset(store.home.dataset(record.dataset_id)).split.validation)
    notes = " ".join(row["text"] for row in charts(store, record, "note"))
    assert record.scores["last"]["rows"] == held_out
    assert f"Cut at their beginning are scored: {held_out} validation rows" in notes


def test_a_loss_that_is_no_number_is_said_in_plain_words(store: Store, tmp_path: Path) -> None:
    broken = make_backbone(tmp_path / "broken")
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] *= float("inf")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    error = run_here(store, started(store, broken, **{"training.evaluate_before_training": False}))
    assert error["what"] == "The loss is no number any more after step 0."
    assert "learning rate" in error["fix"]


def test_rows_without_anything_to_learn_are_said_before_the_backbone_is_loaded(store: Store, backbone: Path) -> None:
    cut = {"tokenizer.max_length": 32, "tokenizer.truncation_side": "right", "dataset.chat_template": "markers"}
    long = {"dataset.text_prompt_start": "A very long text in front of the prompt, for no reason. " * 4}
    error = run_here(store, started(store, backbone, **cut, **long))
    assert "No row has anything to learn" in error["what"]
    assert error["where"] == "tokenizer.max_length"


def test_a_backbone_that_is_gone_by_the_time_of_the_start_is_named(store: Store, tmp_path: Path) -> None:
    gone = make_backbone(tmp_path / "gone")
    record = started(store, gone)
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    assert str(gone) in run_here(store, record)["what"]


def test_a_device_in_use_is_not_taken(store: Store, backbone: Path) -> None:
    record = started(store, backbone)
    store.experiments.claim(record.id)
    assert store.leases.acquire("cpu", "server", "another", *own_identity())
    run(store, record.id, threading.Event())
    error = store.experiments.get(record.id).error
    assert error is not None
    assert error["what"] == "cpu is taken by server another."
