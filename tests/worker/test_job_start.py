"""Experiments that go on: more epochs, from another one's adapter, from its merged model; on the backbone they know."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import (
    continue_experiment,
    delete_experiment,
    restart_experiment,
    start_experiment,
)
from llm_studio.actions.going_on import more_epochs
from llm_studio.actions.starting_from import Start
from llm_studio.config import make_config
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.loading import experiment_config, load_experiment
from llm_studio.modeling.origin import read_origin
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.worker.job import run
from llm_studio.worker.job_reporting import Teller
from llm_studio.worker.job_steps import with_seed, within_context
from llm_studio.worker.start import clear_unless_resuming
from tests.support.tuned import CONTEXT, make_backbone

ROWS = 20
WORDS = ("red kite", "blue cup", "green mug", "old map")
SETTINGS = {
    "environment.gpus": "cpu",
    "environment.mixed_precision": False,
    "training.epochs": 2,
    "training.batch_size": 4,
    "training.learning_rate": 1e-2,
    "training.lora_r": 4,
    "training.lora_dropout": 0.0,
    "training.warmup_epochs": 0.5,
    "tokenizer.max_length": 256,
    "prediction.max_length_inference": 4,
    "prediction.max_generated_rows": 1,
    "prediction.metric": "perplexity",
}


class AfterLooks(threading.Event):
    """Is set once it was looked at so many times, so that a training is stopped in its middle."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def is_set(self) -> bool:
        """Counts."""
        self._left -= 1
        return self._left < 0


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path / "model")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    rows = [{"prompt": f"What is {row}?", "answer": f"A {WORDS[row % 4]}."} for row in range(ROWS)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def begin(store: Store, backbone: Path, name: str, start: Start | None = None, **changes: Any) -> ExperimentRecord:
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone), "experiment_name": name}
    return ended(store, start_experiment(store, make_config(SETTINGS | named | changes), start=start))


def ended(store: Store, record: ExperimentRecord, stop: threading.Event | None = None) -> ExperimentRecord:
    store.experiments.claim(record.id)
    clear_unless_resuming(store.home.experiment(record.id))
    run(store, record.id, stop or threading.Event())
    return store.experiments.get(record.id)


def charts(store: Store, record: ExperimentRecord, kind: str) -> list[dict[str, Any]]:
    return [row for _, _, row in ChartsDb(store.home.experiment(record.id)).read(kinds=(kind,))]


def notes(store: Store, record: ExperimentRecord) -> str:
    return "\n".join(row["text"] for row in charts(store, record, "note"))


def spoil(backbone: Path) -> None:
    weights = load_file(backbone / "model.safetensors")
    weights["model.norm.weight"] *= 1.01
    save_file(weights, backbone / "model.safetensors", metadata={"format": "pt"})


def losses(store: Store, record: ExperimentRecord) -> list[float]:
    assert record.status == "finished", record.error
    return [row["loss"] for row in charts(store, record, "step")]


def test_mixed_precision_computes_in_16_bits_where_the_processor_can_and_off_as_the_backbone_is_held(
    store: Store, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    whole = {"architecture.backbone_dtype": "float32", "training.epochs": 1}
    mixed = begin(store, backbone, "mixed", **whole, **{"environment.mixed_precision": True})
    plain = begin(store, backbone, "plain", **whole)
    assert losses(store, mixed) != losses(store, plain)
    assert losses(store, mixed) == pytest.approx(losses(store, plain), rel=1e-2)
    assert "Computing in bfloat16: this processor" in notes(store, mixed)
    assert "Computing in 32 bits, as the backbone is held: mixed precision is off." in notes(store, plain)
    held = begin(store, backbone, "held", **{"architecture.backbone_dtype": "bfloat16", "training.epochs": 0})
    assert "Computing in bfloat16, as the backbone is held: mixed precision is off." in notes(store, held)


def test_seed_minus_one_draws_another_each_time_and_that_one_gives_the_same_experiment_again(
    store: Store, backbone: Path
) -> None:
    once = {"training.epochs": 1, "training.evaluate_before_training": False, "training.lora_dropout": 0.1}
    drawn = [begin(store, backbone, f"drawn {number}", **once, **{"environment.seed": -1}) for number in range(2)]
    assert losses(store, drawn[0]) != losses(store, drawn[1])
    seed = int((store.home.experiment(drawn[0].id) / "seed.txt").read_text())
    assert f"seed {seed}." in notes(store, drawn[0])
    torch.manual_seed(seed + 1)  # what was drawn before does not matter
    again = begin(store, backbone, "again", **once, **{"environment.seed": seed})
    assert losses(store, again) == losses(store, drawn[0])
    folder = store.home.experiment(drawn[0].id)
    assert with_seed(experiment_config(folder), folder).environment.seed == seed, "it goes on with the same"
    assert f"seed {seed}." not in notes(store, ended(store, restart_experiment(store, drawn[0].id)))


@pytest.mark.parametrize("metric", ["perplexity", "validation_loss", "bleu", "exact_match"])
def test_the_best_checkpoint_is_the_first_that_no_later_one_beats_by_the_metric(
    store: Store, backbone: Path, metric: str
) -> None:
    record = begin(store, backbone, metric, **{"prediction.metric": metric, "training.evaluation_epochs": 0.5})
    rows = [row for row in charts(store, record, "evaluation") if row["step"]]
    best = max if metric in ("bleu", "exact_match") else min
    expected = next(row for row in rows if row[metric] == best(row[metric] for row in rows))
    assert len(rows) == 4
    assert record.scores["best"]["step"] == expected["step"]
    origin = read_origin(store.home.experiment(record.id) / "checkpoints" / "best")
    assert origin is not None and origin.step == expected["step"]


def test_the_metric_that_is_set_ends_an_experiment_early_though_another_still_improves(
    store: Store, backbone: Path
) -> None:
    early = {"training.evaluation_epochs": 0.5, "training.early_stopping_patience": 1, "training.learning_rate": 1e-3}
    record = begin(store, backbone, "early", **early, **{"prediction.metric": "exact_match"})
    before, first, second = charts(store, record, "evaluation")
    assert before["exact_match"] == first["exact_match"] == second["exact_match"] == 0.0
    assert second["perplexity"] < first["perplexity"]
    assert record.scores["best"]["step"] == first["step"]
    assert "Ended early: exact_match has not improved for 1 evaluations." in notes(store, record)


def test_rows_are_made_as_short_as_the_backbone_can_read(backbone: Path) -> None:
    said: list[str] = []

    class Notes:
        def note(self, words: str) -> None:
            """Keeps them."""
            said.append(words)

    facts = check_backbone(str(backbone))
    for wanted, found in ((CONTEXT - 1, CONTEXT - 1), (CONTEXT, CONTEXT), (CONTEXT + 1, CONTEXT)):
        config = make_config({"tokenizer.max_length": wanted})
        assert within_context(config, facts, cast(Teller, Notes())).tokenizer.max_length == found
    assert said == [f"The backbone reads {CONTEXT} tokens: rows are cut there, not at {CONTEXT + 1}."]


@pytest.mark.parametrize(
    "changes",
    [{}, {"training.lora": False}, {"training.init_lora_weights": "pissa"}],
    ids=["an adapter", "all weights", "PiSSA"],
)
def test_more_epochs_go_on_where_the_weights_were_with_a_new_schedule(
    store: Store, backbone: Path, changes: dict[str, Any]
) -> None:
    record = begin(store, backbone, "first", **changes)
    assert record.status == "finished", record.error
    before, last = record.scores["before"], record.scores["last"]
    steps = last["step"]
    record = ended(store, more_epochs(store, record.id, 1))
    assert record.status == "finished", record.error
    rows = charts(store, record, "step")
    assert [row["step"] for row in rows] == list(range(1, steps * 3 // 2 + 1))
    assert rows[-1]["epoch"] == pytest.approx(3.0)
    assert rows[steps]["loss"] < rows[0]["loss"] - 0.4
    rates = [row["learning_rate"] for row in rows]
    assert rates[steps - 1] < 1e-3 < rates[steps] < rates[steps + 1] == pytest.approx(1e-2)
    assert record.scores["before"] == before
    assert record.scores["last"]["step"] == steps * 3 // 2
    origin = read_origin(store.home.experiment(record.id) / "checkpoints" / "last")
    assert origin is not None
    assert (origin.step, origin.epoch) == (steps * 3 // 2, 3.0)
    said = notes(store, record)
    assert f"Goes on from step {steps}, epoch 2, to epoch 3. The learning rate is planned anew over 1 epoch" in said
    assert "in float32: as it began." in said


@pytest.mark.parametrize("start", ["default", "pissa"])
def test_added_epochs_that_are_stopped_go_on_to_the_same_weights(store: Store, backbone: Path, start: str) -> None:
    ends = []
    for name, looks in (("whole", None), ("stopped", 9)):
        record = begin(store, backbone, name, **{"training.epochs": 1, "training.init_lora_weights": start})
        record = more_epochs(store, record.id, 1)
        if looks is not None:
            record = ended(store, record, AfterLooks(looks))
            step = charts(store, record, "step")[-1]["step"]
            assert record.status == "stopped" and 4 < step < 8
            record = continue_experiment(store, record.id)
        record = ended(store, record)
        assert record.status == "finished", record.error
        ends.append(load_file(store.home.experiment(record.id) / "checkpoints" / "last" / "adapter_model.safetensors"))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_new_experiment_goes_on_from_an_adapter(store: Store, backbone: Path) -> None:
    first = begin(store, backbone, "first")
    second = begin(store, backbone, "second", Start(first.id, "adapter", "last"), **{"training.epochs": 1})
    assert second.status == "finished", second.error
    assert second.scores["before"]["perplexity"] == pytest.approx(first.scores["last"]["perplexity"], rel=1e-4)
    assert "Starts from the weights of the adapter of first (last checkpoint)." in notes(store, second)
    assert charts(store, second, "step")[0]["loss"] < charts(store, first, "step")[0]["loss"] - 0.4


def test_a_new_experiment_goes_on_from_a_merged_model_with_any_adapter_and_without_the_other_one(
    store: Store, backbone: Path
) -> None:
    first = begin(store, backbone, "first")
    other = {"training.lora_r": 7, "training.lora_target_modules": "q_proj"}
    named = {"dataset_id": first.dataset_id, "llm_backbone": str(backbone), "experiment_name": "second"}
    second = start_experiment(store, make_config(SETTINGS | named | other), start=Start(first.id, "merged", "last"))
    delete_experiment(store, first.id)
    second = ended(store, second)
    assert second.status == "finished", second.error
    assert second.scores["before"]["perplexity"] == pytest.approx(first.scores["last"]["perplexity"], rel=1e-4)
    loaded = load_experiment(store.home.experiment(second.id), which="last", device="cpu")
    assert loaded.config.llm_backbone == str(store.home.experiment(second.id) / "backbone")
    third = begin(store, backbone, "third", Start(second.id, "adapter", "last"), **other)
    assert third.scores["before"]["perplexity"] == pytest.approx(second.scores["last"]["perplexity"], rel=1e-4)
    assert ended(store, restart_experiment(store, second.id)).scores["before"] == second.scores["before"]


def test_weights_trained_in_full_are_a_backbone_for_an_adapter(store: Store, backbone: Path) -> None:
    first = begin(store, backbone, "first", **{"training.lora": False})
    second = begin(store, backbone, "second", Start(first.id, "merged", "best"))
    assert second.status == "finished", second.error
    assert second.scores["before"]["perplexity"] == pytest.approx(first.scores["best"]["perplexity"], rel=1e-4)


def test_a_backbone_with_other_weights_is_refused_wherever_something_was_trained_on_it(
    store: Store, backbone: Path
) -> None:
    first = begin(store, backbone, "first")
    spoil(backbone)
    for what, words in (("adapter", "adapter"), ("merged", "model")):
        second = begin(store, backbone, what, Start(first.id, what, "last"))
        assert second.status == "failed" and second.error is not None
        assert f"not those that the {words} of first (last checkpoint) was trained on" in second.error["what"]
    more = ended(store, more_epochs(store, first.id, 1))
    assert more.error is not None and "have changed since this experiment began" in more.error["what"]
