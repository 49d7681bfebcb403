"""What leaves the studio: an adapter and a merged model that load elsewhere and answer as the tuned model did."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from llm_studio.actions.exports import start_export
from llm_studio.config import to_yaml
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling import merging
from llm_studio.modeling.export import run
from llm_studio.modeling.loading import experiment_config
from llm_studio.modeling.portable import safe_name
from llm_studio.store import ExperimentRecord, Home, Store
from tests.support.tuned import make_backbone, make_experiment

MESSAGES = [{"role": "user", "content": "Tom orders three cups."}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    torch.set_num_threads(1)
    opened = Store.open(Home(tmp_path / "home"))
    yield opened
    opened.close()


def export(store: Store, record: ExperimentRecord, what: str) -> dict[str, Any]:
    return run(store.home, store, start_export(store, record.id, what), lambda share, words: None)


def unpacked(result: dict[str, Any], target: Path) -> Path:
    with zipfile.ZipFile(result["path"]) as archive:
        assert archive.testzip() is None
        archive.extractall(target)
    (folder,) = target.iterdir()
    return folder


def test_the_adapter_loads_on_its_backbone_and_answers_as_the_merged_model(store: Store, tmp_path: Path) -> None:
    backbone = make_backbone(tmp_path / "backbone")
    record = make_experiment(store, backbone, name="../Orders & more")
    folder = unpacked(export(store, record, "adapter"), tmp_path / "adapter")
    assert folder.name == "Orders-more-adapter"
    assert {path.name for path in folder.iterdir()} >= {
        "adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "chat_template.jinja", "README.md",
        "experiment.yaml",
    }  # fmt: skip
    assert str(tmp_path) not in (folder / "adapter_config.json").read_text()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(backbone), str(folder)).eval()
    merged = unpacked(export(store, record, "merged"), tmp_path / "merged")
    other = AutoModelForCausalLM.from_pretrained(merged).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    ids = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        assert torch.allclose(model(**ids).logits, other(**ids).logits, atol=1e-4)
    assert AutoTokenizer.from_pretrained(folder).chat_template == tokenizer.chat_template


def test_a_merged_model_in_32_bits_is_equal_up_to_rounding(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    equality = export(store, record, "merged")["equality"]
    assert equality["equal"] and equality["agreement"] == 1.0
    assert equality["max_difference"] < 1e-4
    assert equality["rows"] == merging.MOST_ROWS and equality["positions"] > 100
    kept = json.loads((store.home.experiment(record.id) / "export" / "equality.json").read_text())
    assert kept == equality and "Logits differ by at most" in kept["sentence"]


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_the_difference_of_fewer_bits_is_measured_and_said(store: Store, tmp_path: Path, dtype: str) -> None:
    changes = {"architecture.backbone_dtype": dtype}
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), changes=changes)
    result = export(store, record, "merged")
    equality = result["equality"]
    assert equality["mean_difference"] > 0 and equality["agreement"] < 1.01
    assert (dtype in equality["sentence"]) == (dtype != "bfloat16")
    merged = unpacked(result, tmp_path / "merged")
    wanted = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(merged)
    assert model.dtype == wanted
    assert not any("bnb" in name or "quant" in name for name in json.loads((merged / "config.json").read_text()))


def test_a_model_tuned_in_full_is_exported_whole_and_has_no_adapter(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), lora=False)
    assert export(store, record, "merged")["equality"]["max_difference"] == 0.0
    with pytest.raises(UserError, match="tuned in full"):
        start_export(store, record.id, "adapter")


def test_an_adapter_on_a_merged_model_is_exported_with_it_alone(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    own = make_backbone(store.home.experiment(record.id) / "backbone")
    changed = LlamaForCausalLM.from_pretrained(own)
    changed.lm_head.weight.data *= 2.0
    changed.save_pretrained(own)
    with pytest.raises(UserError, match="on a merged model that only this experiment has"):
        export(store, record, "adapter")
    merged = LlamaForCausalLM.from_pretrained(unpacked(export(store, record, "merged"), tmp_path / "merged"))
    assert torch.equal(merged.model.embed_tokens.weight, changed.model.embed_tokens.weight)


def test_the_files_are_readable_by_transformers_4_too(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    folder = unpacked(export(store, record, "merged"), tmp_path / "merged")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast" and "backend" not in tokenizer
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    assert tokenizer["chat_template"] == (folder / "chat_template.jinja").read_text()
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] and config["torch_dtype"] == "float32"
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] and generation["max_new_tokens"] > 0


@pytest.mark.parametrize(("branch", "named"), [("v2", "v2"), ("main", None)])
def test_an_adapter_names_the_revision_of_the_backbone_that_it_was_learned_on(
    store: Store, tmp_path: Path, branch: str, named: str | None
) -> None:
    local = make_experiment(
        store, make_backbone(tmp_path / "backbone"), changes={"environment.huggingface_branch": "v2"}
    )
    folder = unpacked(export(store, local, "adapter"), tmp_path / "local")
    assert json.loads((folder / "adapter_config.json").read_text())["revision"] is None
    config = experiment_config(store.home.experiment(local.id))
    config = config.with_changes({"llm_backbone": "owner/tiny", "environment.huggingface_branch": branch})
    record = store.experiments.create(
        to_yaml(config), name="hub", dataset_id=local.dataset_id, backbone="owner/tiny", problem_type="causal_lm",
        device="cpu",
    )  # fmt: skip
    store.experiments.claim(record.id)
    store.experiments.finish(record.id, "finished")
    checkpoints = store.home.experiment(local.id) / "checkpoints"
    checkpoints.rename(store.home.experiment(record.id) / "checkpoints")
    folder = unpacked(export(store, record, "adapter"), tmp_path / "hub")
    assert json.loads((folder / "adapter_config.json").read_text())["revision"] == named
    loading = '(backbone, revision="v2")' if named else "(backbone)"
    assert f"AutoModelForCausalLM.from_pretrained{loading}\n" in (folder / "README.md").read_text()


def test_a_merged_model_answers_by_default_as_the_settings_say(store: Store, tmp_path: Path) -> None:
    drawn = {"temperature": 0.4, "top_k": 7, "top_p": 0.8, "repetition_penalty": 1.2}
    expected = drawn | {"do_sample": True, "max_new_tokens": 9}
    changes = drawn | {"do_sample": True, "max_length_inference": 9}
    named = {f"prediction.{name}": value for name, value in changes.items()}
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), changes=named)
    folder = unpacked(export(store, record, "merged"), tmp_path / "merged")
    generation = json.loads((folder / "generation_config.json").read_text())
    assert {name: generation[name] for name in expected} == expected


def test_markers_of_the_settings_travel_as_the_chat_template(store: Store, tmp_path: Path) -> None:
    backbone = make_backbone(tmp_path / "backbone", chat_template=False)
    record = make_experiment(store, backbone, changes={"dataset.text_prompt_start": "<|question|>"})
    folder = unpacked(export(store, record, "merged"), tmp_path / "merged")
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(MESSAGES, tokenize=False)
    assert text.startswith("<|question|>Tom orders three cups.")


def test_another_model_is_not_equal() -> None:
    tuned = [torch.randn(50, 100)]
    found = merging.comparison(tuned, [torch.randn(50, 100)], tuned_dtype="float32", merged_dtype="float32")
    assert not found.equal
    broken = [tuned[0].clone().fill_(float("nan"))]
    assert not merging.comparison(tuned, broken, tuned_dtype="int4", merged_dtype="float32").equal
    assert merging.comparison(tuned, [tuned[0] + 1e-5], tuned_dtype="float32", merged_dtype="float32").equal


def test_a_cancelled_export_leaves_nothing_and_an_older_file_stays(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    older = Path(export(store, record, "adapter")["path"]).read_bytes()

    def cancels(share: float | None, words: str) -> None:
        if words == "Writing the zip file":
            raise Cancelled

    with pytest.raises(Cancelled):
        run(store.home, store, store.jobs.create("export", {"experiment_id": record.id, "what": "adapter"}), cancels)
    folder = store.home.experiment(record.id) / "export"
    assert [path.name for path in folder.iterdir()] == ["adapter.zip"]
    assert (folder / "adapter.zip").read_bytes() == older


def test_an_experiment_without_weights_says_so_before_a_job_begins(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    checkpoint = store.home.experiment(record.id) / "checkpoints" / "last"
    checkpoint.rename(tmp_path / "away")
    with pytest.raises(UserError, match="no saved weights"):
        start_export(store, record.id, "merged")


def test_the_same_export_is_not_started_twice(store: Store, tmp_path: Path) -> None:
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    assert start_export(store, record.id, "merged").id == start_export(store, record.id, "merged").id


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "...", "C:\\x", "naïve ✓", "x" * 200])
def test_names_are_safe_as_file_names(name: str) -> None:
    made = safe_name(name)
    assert made and len(made) <= 60 and all(sign.isascii() and (sign.isalnum() or sign in ".-") for sign in made)
    assert not made.startswith(".")
