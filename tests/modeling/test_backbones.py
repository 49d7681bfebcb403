"""The choice of a backbone: what is said of a good one, and what is said at once of one that cannot be used."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_studio.errors import UserError
from llm_studio.modeling import backbones
from llm_studio.modeling.backbones import check_backbone, list_backbones
from llm_studio.starter import BACKBONE
from tests.support.hub import TOKEN, Hub, Repository, running_hub

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def files(**config: object) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(CONFIG | config).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
        "model.safetensors": bytes(1000),
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    backbones.forget_answers()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repositories = {
        "good__llama": Repository(files(), parameters=12345),
        "closed__llama": Repository(files(), gated=True),
        "other__bert": Repository(files(architectures=["BertForMaskedLM"], model_type="bert")),
        "own__code": Repository(
            files(
                architectures=["OwnModel"], model_type="own", auto_map={"AutoModelForCausalLM": "modeling_own.OwnModel"}
            )
        ),
        "an__adapter": Repository({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}),
        "some__gguf": Repository({"model-Q4.gguf": b""}),
    }
    with running_hub(**repositories) as running:
        yield running


def test_the_starter_needs_no_network_and_brings_its_recommended_settings() -> None:
    facts = check_backbone("starter", endpoint="http://127.0.0.1:9")
    assert facts.source == "starter" and facts.parameters_exact and facts.parameters > 100_000
    assert facts.has_chat_template and facts.context_length and facts.context_length >= 2048
    assert facts.recommended and facts.download_bytes == 0


def test_the_list_holds_the_starter_first_then_local_folders_and_cached_models(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, content in files().items():
        (tmp_path / "mine" / name).write_bytes(content)
    (tmp_path / "no_weights").mkdir()
    (tmp_path / "no_weights" / "config.json").write_text("{}")
    found = list_backbones([tmp_path])
    assert found[0].name == "starter" and found[0].parameters
    assert [one.name for one in found if one.source == "local"] == [str(tmp_path / "mine")]


def test_a_model_of_the_hub_is_described_without_fetching_its_weights(hub: Hub) -> None:
    facts = check_backbone("good/llama", endpoint=hub.address)
    assert (facts.parameters, facts.parameters_exact, facts.context_length) == (12345, True, 512)
    assert facts.has_chat_template and facts.dtype == "bfloat16" and facts.source == "hub"
    assert facts.download_bytes == sum(len(content) for content in files().values())
    assert not any(line.startswith("GET") and "safetensors" in line for line in hub.asked)


def test_the_same_question_is_asked_once(hub: Hub) -> None:
    check_backbone("good/llama", endpoint=hub.address)
    asked = len(hub.asked)
    check_backbone("good/llama", endpoint=hub.address)
    assert len(hub.asked) == asked


def test_parameters_are_estimated_by_the_formula_when_nobody_counted_them(hub: Hub) -> None:
    hub.repositories["good/llama"].parameters = None
    facts = check_backbone("good/llama", endpoint=hub.address)
    attention = 64 * 64 + 2 * 64 * 32 + 64 * 64
    assert facts.parameters == 100 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64
    assert not facts.parameters_exact


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("good/lama", "The Hub has no model good/lama.", "Check the spelling"),
        ("closed/llama", "closed/llama is gated", "Accept its licence on"),
        ("other/bert", "is not a causal language model", "ForCausalLM"),
        ("own/code", "runs Python code of its own", "Trust remote code"),
        ("an/adapter", "is an adapter, not a backbone", "the backbone that the adapter was made for"),
        ("some/gguf", "holds GGUF files", "safetensors"),
        ("not a name", "is not the name of a model", "owner/model"),
        ("", "No backbone is chosen.", "Choose one"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_choice(hub: Hub, name: str, what: str, fix: str) -> None:
    with pytest.raises(UserError) as error:
        check_backbone(name, endpoint=hub.address)
    assert what in error.value.what and fix in error.value.fix


def test_a_slip_of_the_pen_is_offered_the_name_that_is_here() -> None:
    assert "Did you mean TinyLlama/TinyLlama-1.1B?" in backbones.nearest(
        "tinyllama/tinylama-1.1b", ["TinyLlama/TinyLlama-1.1B", "other/model"]
    )


def test_a_token_opens_a_gated_model_and_a_wrong_one_is_named(hub: Hub) -> None:
    assert check_backbone("closed/llama", endpoint=hub.address, token=TOKEN).gated
    with pytest.raises(UserError, match="refused the token"):
        check_backbone("closed/llama", endpoint=hub.address, token="hf_wrong")


def test_remote_code_is_taken_only_when_the_user_trusts_it(hub: Hub) -> None:
    facts = check_backbone("own/code", endpoint=hub.address, trust_remote_code=True)
    assert facts.needs_remote_code


def test_a_revision_that_is_not_there_is_said(hub: Hub) -> None:
    with pytest.raises(UserError, match="has no revision 'v9'"):
        check_backbone("good/llama", endpoint=hub.address, revision="v9")


def test_a_hub_that_cannot_be_reached_is_said_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match="cannot be reached from here") as error:
        check_backbone("nobody/there", endpoint=address)
    assert "bundled starter" in error.value.fix


def test_a_local_folder_must_be_allowed_complete_and_a_model(tmp_path: Path) -> None:
    backbones.forget_answers()
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(UserError, match="not in a folder that may be read"):
        check_backbone(str(folder), folders=())
    with pytest.raises(UserError, match=r"no config\.json"):
        check_backbone(str(folder), folders=(tmp_path,))
    with pytest.raises(UserError, match="There is no folder"):
        check_backbone(str(tmp_path / "min"), folders=(tmp_path,))
    backbones.forget_answers()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    (folder / "b.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(UserError, match=r"1 weight files are missing, such as a\.safetensors"):
        check_backbone(str(folder), folders=(tmp_path,))


def test_a_model_in_the_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbones.forget_answers()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--own--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for path in BACKBONE.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    (tmp_path / "models--own--model" / "refs").mkdir()
    (tmp_path / "models--own--model" / "refs" / "main").write_text("abc")
    assert check_backbone("own/model", endpoint="http://127.0.0.1:9").source == "hub cache"
    assert "own/model" in [one.name for one in list_backbones()]


def test_choosing_a_backbone_imports_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from llm_studio.modeling.backbones import check_backbone, list_backbones;"
        "list_backbones(); check_backbone('starter');"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
