"""Markers as tokens: one token each in what the model sees, learned with the adapter, kept in all that leaves."""

import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.exports import start_export
from llm_studio.actions.going_on import more_epochs
from llm_studio.actions.starting_from import Start
from llm_studio.config import make_config
from llm_studio.data.types import Message
from llm_studio.errors import UserError
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.export import run as run_export
from llm_studio.modeling.loading import load_experiment, load_model, load_tokenizer
from llm_studio.modeling.marker_tokens import make_room
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.tokens.making import make_template
from llm_studio.worker.job import run
from llm_studio.worker.start import clear_unless_resuming
from tests.support.tuned import make_backbone

MARKERS = ("<|question|>", "<|reply|>")
SETTINGS: dict[str, Any] = {
    "environment.gpus": "cpu",
    "environment.mixed_precision": False,
    "architecture.backbone_dtype": "float32",
    "dataset.text_prompt_start": MARKERS[0],
    "dataset.text_answer_separator": MARKERS[1],
    "tokenizer.add_prompt_answer_tokens": True,
    "tokenizer.max_length": 128,
    "training.epochs": 2,
    "training.batch_size": 4,
    "training.learning_rate": 1e-2,
    "training.lora_dropout": 0.0,
    "prediction.max_length_inference": 4,
    "prediction.max_generated_rows": 2,
}
PROMPT = [Message("user", "What is 3?")]


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path / "backbone", chat_template=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    rows = [{"prompt": f"What is {row}?", "answer": f"A {'red kite' if row % 2 else 'blue cup'}."} for row in range(20)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def trained(store: Store, backbone: Path, **changes: Any) -> ExperimentRecord:
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone), "experiment_name": "marked"}
    return ended(store, start_experiment(store, make_config(SETTINGS | named | changes)))


def ended(store: Store, record: ExperimentRecord) -> ExperimentRecord:
    store.experiments.claim(record.id)
    clear_unless_resuming(store.home.experiment(record.id))
    run(store, record.id, threading.Event())
    record = store.experiments.get(record.id)
    assert record.status == "finished", record.error
    return record


def exported(store: Store, record: ExperimentRecord, what: str, target: Path) -> Path:
    made = run_export(store.home, store, start_export(store, record.id, what), lambda share, words: None)
    with zipfile.ZipFile(made["path"]) as archive:
        archive.extractall(target)
    (folder,) = target.iterdir()
    return folder


def test_each_marker_is_one_token_that_begins_as_the_mean_of_its_pieces(backbone: Path) -> None:
    config = make_config(SETTINGS | {"llm_backbone": str(backbone)})
    plain = make_template(load_tokenizer(config), config.with_changes({"tokenizer.add_prompt_answer_tokens": False}))
    template = make_template(load_tokenizer(config), config)
    new = {template.tokenizer.convert_ids_to_tokens(token.number): token for token in template.new_tokens}
    assert set(MARKERS) <= set(new)
    ids, before = template.prompt_ids(PROMPT), plain.prompt_ids(PROMPT)
    assert [list(ids).count(new[text].number) for text in MARKERS] == [1, 1]
    assert len(ids) == len(before) - sum(len(new[text].pieces) - 1 for text in MARKERS)
    assert new[MARKERS[0]].number in template.stop_ids
    model, _ = load_model(config, device="cpu")
    known = model.get_input_embeddings().weight.detach().clone()
    make_room(model, template.tokenizer, template.new_tokens)
    table = model.get_input_embeddings().weight
    assert len(table) == len(template.tokenizer) > len(known)
    assert torch.equal(table[: len(known)], known)
    token = new[MARKERS[1]]
    assert torch.allclose(table[token.number], known[list(token.pieces)].mean(0))
    assert table is model.get_output_embeddings().weight


@pytest.mark.parametrize("kind", ["tied", "untied", "full", "int8"])
def test_new_tokens_are_learned_kept_resumed_and_exported(
    store: Store, backbone: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "untied":
        untie(backbone)
    changes = {"training.lora": kind != "full"} | ({"architecture.backbone_dtype": "int8"} if kind == "int8" else {})
    record = trained(store, backbone, **changes)
    folder = store.home.experiment(record.id)
    notes = [row["text"] for _, _, row in ChartsDb(folder).read(kinds=("note",))]
    assert any("markers are new tokens" in words for words in notes)
    tuned = load_experiment(folder, device="cpu", dtype="float32")
    ids = torch.tensor([list(tuned.template.prompt_ids(PROMPT))])
    assert int(ids.max()) >= len(load_tokenizer(tuned.config)), "no new token is in the prompt"
    if kind != "full":
        rows = load_file(folder / "checkpoints" / "last" / "adapter_model.safetensors")
        learned = [weight for name, weight in rows.items() if "trainable_tokens_delta" in name]
        assert len(learned) == (2 if kind == "untied" else 1)
        assert not any("embed_tokens.weight" in name for name in rows)
        first, _ = load_model(tuned.config, device="cpu")
        template = make_template(load_tokenizer(tuned.config), tuned.config)
        make_room(first, template.tokenizer, template.new_tokens)
        started = first.get_input_embeddings().weight[[token.number for token in template.new_tokens]]
        assert not torch.allclose(learned[0], started, atol=1e-4)
    with torch.inference_mode():
        expected = tuned.model(input_ids=ids).logits
        merged = exported(store, record, "merged", tmp_path / "merged")
        model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
        text = AutoTokenizer.from_pretrained(merged).apply_chat_template(
            [{"role": "user", "content": PROMPT[0].content}], add_generation_prompt=True
        )
        assert list(text["input_ids"] if hasattr(text, "keys") else text) == ids[0].tolist()
        assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-3)
        if kind == "tied":
            adapter = exported(store, record, "adapter", tmp_path / "adapter")
            assert "resize_token_embeddings" in (adapter / "README.md").read_text()
            plain = AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
            plain.resize_token_embeddings(len(AutoTokenizer.from_pretrained(adapter)))
            again = PeftModel.from_pretrained(plain, str(adapter)).eval()
            assert torch.allclose(again(input_ids=ids).logits, expected, atol=1e-4)
    more_epochs(store, record.id, epochs=1)
    ended(store, record)


def test_embeddings_that_are_trained_whole_learn_the_new_rows_and_an_adapter_on_them_is_refused(
    store: Store, backbone: Path
) -> None:
    record = trained(store, backbone, **{"training.epochs": 1, "training.lora_unfreeze_layers": ["model.embed_tokens"]})
    weights = load_file(store.home.experiment(record.id) / "checkpoints" / "last" / "adapter_model.safetensors")
    assert not any("trainable_tokens" in name for name in weights)
    config = make_config(SETTINGS | {"llm_backbone": str(backbone)})
    template = make_template(load_tokenizer(config), config)
    model, _ = load_model(config, device="cpu")
    make_room(model, template.tokenizer, template.new_tokens)
    on_embeddings = config.with_changes({"training.lora_target_modules": "embed_tokens, q_proj"})
    with pytest.raises(UserError, match="embed_tokens cannot carry one"):
        make_trainable(model, on_embeddings, quantised=False, new_tokens=template.new_tokens)


def test_an_adapter_with_markers_as_tokens_goes_on_with_them_alone(store: Store, backbone: Path) -> None:
    record = trained(store, backbone, **{"training.epochs": 1})
    named = {"dataset_id": store.datasets.list()[0].id, "llm_backbone": str(backbone), "experiment_name": "next"}
    start = Start(record.id, "adapter", "last")
    without = SETTINGS | named | {"tokenizer.add_prompt_answer_tokens": False}
    with pytest.raises(UserError, match="learned with markers as tokens"):
        start_experiment(store, make_config(without), start=start)
    ended(store, start_experiment(store, make_config(SETTINGS | named | {"training.epochs": 1}), start=start))


def test_a_chat_template_of_the_backbone_has_no_markers_to_add(store: Store, tmp_path: Path) -> None:
    record = trained(store, make_backbone(tmp_path / "with"), **{"training.epochs": 1})
    notes = [row["text"] for _, _, row in ChartsDb(store.home.experiment(record.id)).read(kinds=("note",))]
    assert any(words.startswith("Markers as tokens has no effect") for words in notes)


def untie(backbone: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(backbone)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() * 1.1)
    model.save_pretrained(backbone)
