"""A file of weights over the backbone's: taken by name, refused with the reason, and found wherever the model goes."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.exports import start_export
from llm_studio.actions.preflight import key_of
from llm_studio.actions.starting_from import Start
from llm_studio.config import ExperimentConfig, make_config
from llm_studio.errors import UserError
from llm_studio.modeling.export import run as export
from llm_studio.modeling.further_weights import TAKEN
from llm_studio.modeling.loading import load_experiment, load_model
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.worker.job import run
from llm_studio.worker.job_start import fingerprint_of
from llm_studio.worker.start import clear_unless_resuming
from tests.support.tuned import make_backbone

NORM = "model.norm.weight"
DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path / "backbone")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    rows = [{"prompt": f"What is {row}?", "answer": "A red kite."} for row in range(12)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def config_with(backbone: Path, file: Path | str, **changes: Any) -> ExperimentConfig:
    settings = {"llm_backbone": str(backbone), "architecture.pretrained_weights": str(file)}
    return make_config(settings | {"architecture.backbone_dtype": "float32"} | changes)


def weights() -> dict[str, torch.Tensor]:
    return {NORM: torch.full((64,), 3.0), DOWN: torch.linspace(-1, 1, 64 * 128).view(64, 128)}


def written(folder: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(weights(), folder / "more.safetensors")
        return folder / "more.safetensors"
    named = {f"module.backbone.{name}": weight for name, weight in weights().items()}
    if kind == "older":
        torch.save(named, folder / "more.pth", _use_new_zipfile_serialization=False)
        return folder / "more.pth"
    torch.save({"model": named, "epoch": 3} if kind == "checkpoint" else named, folder / "more.pth")
    return folder / "more.pth"


@pytest.mark.parametrize("kind", ["safetensors", "state_dict", "checkpoint", "older"])
def test_weights_of_the_file_replace_those_of_the_backbone_and_the_others_stay(
    backbone: Path, tmp_path: Path, kind: str
) -> None:
    plain, _ = load_model(config_with(backbone, ""), device="cpu")
    model, _ = load_model(config_with(backbone, written(tmp_path, kind)), device="cpu")
    before, after = plain.state_dict(), model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {NORM, DOWN}
    assert all(torch.equal(after[name], weight) for name, weight in weights().items())
    assert getattr(model, TAKEN).startswith("2 of ")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"model.layers.7.nothing": torch.zeros(3)},
            "1 of its weights have no place in the backbone, such as model.",
        ),
        ({NORM: torch.zeros(65)}, "1 have another shape or type: model.norm.weight is 65 here and 64 in the backbone"),
        ({NORM: torch.zeros(64, dtype=torch.int8)}, "model.norm.weight is of whole numbers (int8)"),
        ({"model.rotary_emb.inv_freq": torch.zeros(8)}, "it holds no weights"),
        ({}, "it holds no weights"),
    ],
)
def test_a_file_of_another_model_is_refused_by_name(
    backbone: Path, tmp_path: Path, made: dict[str, torch.Tensor], said: str
) -> None:
    save_file(made, tmp_path / "other.safetensors")
    with pytest.raises(UserError) as caught:
        load_model(config_with(backbone, tmp_path / "other.safetensors"), device="cpu")
    assert said in caught.value.what
    assert caught.value.where == "architecture.pretrained_weights"


def test_files_that_are_damaged_or_would_run_code_are_refused(backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"\x00" * 20)
    torch.save({"a": Path("x")}, tmp_path / "code.pth")
    (tmp_path / "text.bin").write_text("no weights")
    for name in ("torn.safetensors", "code.pth", "text.bin"):
        with pytest.raises(UserError, match="cannot be read as weights"):
            load_model(config_with(backbone, tmp_path / name), device="cpu")


def test_a_quantised_backbone_is_refused_with_the_way_out(backbone: Path, tmp_path: Path) -> None:
    config = config_with(backbone, written(tmp_path, "safetensors"), **{"architecture.backbone_dtype": "int8"})
    with pytest.raises(UserError) as caught:
        load_model(config, device="cpu")
    assert "Choose bfloat16" in caught.value.fix


def test_fingerprint_and_check_change_with_the_file(backbone: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "safetensors")
    with_file, without = config_with(backbone, file), config_with(backbone, "")
    assert fingerprint_of(with_file) != fingerprint_of(without)

    def key() -> str:
        return key_of(with_file, fingerprint="", device="cpu", context_length=None)

    before = (fingerprint_of(with_file), key())
    save_file({NORM: torch.full((64,), 2.0)}, file)
    assert fingerprint_of(with_file) != before[0]
    assert key() != before[1]


def begin(store: Store, config: ExperimentConfig, start: Start | None = None, **changes: Any) -> ExperimentRecord:
    settings = {
        "dataset_id": store.datasets.list()[0].id, "environment.gpus": "cpu", "tokenizer.max_length": 128,
        "training.batch_size": 4, "training.epochs": 1, "prediction.max_length_inference": 2,
        "prediction.max_generated_rows": 1,
    }  # fmt: skip
    record = start_experiment(store, config.with_changes(settings | changes), start=start)
    store.experiments.claim(record.id)
    clear_unless_resuming(store.home.experiment(record.id))
    run(store, record.id, threading.Event())
    record = store.experiments.get(record.id)
    assert record.status == "finished", record.error
    return record


def test_a_missing_file_is_refused_before_anything_is_queued(store: Store, backbone: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        begin(store, config_with(backbone, "~/nowhere/more.pth"))
    assert not store.experiments.list()


@pytest.mark.parametrize("lora", [True, False])
def test_an_experiment_trains_answers_and_leaves_with_the_weights_of_the_file(
    store: Store, backbone: Path, tmp_path: Path, lora: bool
) -> None:
    config = config_with(backbone, written(tmp_path, "state_dict"))
    record = begin(store, config, **{"training.lora": lora, "training.learning_rate": 1e-6})
    folder = store.home.experiment(record.id)
    notes = [row["text"] for _, _, row in ChartsDb(folder).read(kinds=("note",))]
    assert any("tensors of the backbone come from more.pth" in words for words in notes)
    model = load_experiment(folder, device="cpu").model
    norm = next(weight for name, weight in model.named_parameters() if name.endswith(NORM))
    assert torch.allclose(norm, torch.full((64,), 3.0), atol=1e-3)
    made = export(store.home, store, start_export(store, record.id, "merged"), lambda share, words: None)
    assert made["equality"]["equal"] if "equality" in made else Path(made["path"]).is_file()
    if lora:
        with pytest.raises(UserError) as caught:
            export(store.home, store, start_export(store, record.id, "adapter"), lambda share, words: None)
        assert "Export the merged model" in caught.value.fix
        merged = begin(store, config, Start(record.id, "merged", "last"), experiment_name="next")
        other = load_experiment(store.home.experiment(merged.id), device="cpu").model
        assert any(torch.allclose(weight, norm) for name, weight in other.named_parameters() if name.endswith(NORM))
        with pytest.raises(UserError, match="the backbone alone"):
            begin(store, config_with(backbone, ""), Start(record.id, "adapter", "last"))
