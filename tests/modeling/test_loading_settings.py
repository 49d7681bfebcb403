"""Settings that act as tokenizer and backbone are loaded, and on what they compute in."""

import warnings
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, GPT2Config, GPT2LMHeadModel

from llm_studio.config import make_config
from llm_studio.errors import UserError
from llm_studio.modeling.backbone_dropout import dropouts_of
from llm_studio.modeling.devices import choose_autocast
from llm_studio.modeling.loading import load_model, load_tokenizer, quiet
from tests.support.tiny import config_of, model_of, run
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def test_tokenizer_arguments_reach_the_tokenizer(backbone: Path) -> None:
    config = config_of(backbone, **{"tokenizer.tokenizer_kwargs": '{"padding_side": "left", "model_max_length": 77}'})
    tokenizer = load_tokenizer(config)
    assert (tokenizer.padding_side, tokenizer.model_max_length) == ("left", 77)
    h2o = config_of(backbone, **{"tokenizer.tokenizer_kwargs": '{"use_fast": true, "add_prefix_space": false}'})
    assert load_tokenizer(h2o)("a b")["input_ids"] == load_tokenizer(config_of(backbone))("a b")["input_ids"]


def test_a_checkpoint_keeps_what_the_tokenizer_arguments_made(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"tokenizer.tokenizer_kwargs": '{"extra_special_tokens": ["<kite>"]}'})
    text = "a<kite>b"
    ids = load_tokenizer(config)(text)["input_ids"]
    assert ids != load_tokenizer(config_of(backbone))(text)["input_ids"]
    load_tokenizer(config).save_pretrained(tmp_path)
    assert load_tokenizer(config, tmp_path)(text)["input_ids"] == ids


@pytest.mark.parametrize("name", ["trust_remote_code", "revision"])
def test_tokenizer_arguments_cannot_overrule_a_setting(backbone: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_tokenizer(config_of(backbone, **{"tokenizer.tokenizer_kwargs": f'{{"{name}": true}}'}))
    assert caught.value.where == "tokenizer.tokenizer_kwargs"
    assert "set environment." in caught.value.fix


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_tokenizer_arguments_that_are_no_object_are_refused(backbone: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        load_tokenizer(config_of(backbone, **{"tokenizer.tokenizer_kwargs": text}))
    assert caught.value.where == "tokenizer.tokenizer_kwargs"
    assert "braces" in caught.value.fix


def test_attention_is_computed_by_the_code_that_is_set(backbone: Path) -> None:
    weights = {}
    for code in ("auto", "sdpa", "eager"):
        model, _ = load_model(config_of(backbone, **{"training.attention_implementation": code}), device="cpu")
        with torch.no_grad():
            weights[code] = model.model.layers[0].self_attn(
                torch.randn(1, 3, 64), (torch.ones(1, 3, 16), torch.zeros(1, 3, 16)), None
            )[1]
    assert [code for code, found in weights.items() if found is not None] == ["eager"], "the others keep no weights"


def test_flash_attention_without_its_package_says_what_to_set(backbone: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(config_of(backbone, **{"training.attention_implementation": "flash_attention_2"}), device="cpu")
    assert "training.attention_implementation" in caught.value.fix


@pytest.mark.parametrize(
    ("wanted", "lora", "held"),
    [
        ("auto", True, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", True, torch.bfloat16),
        ("float16", True, torch.bfloat16),
        ("int8", True, torch.int8),
        ("int4", True, torch.uint8),
        ("auto", False, torch.float32),
        ("float16", False, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_the_weights_of_the_layers_are_held_in_the_number_type_that_is_set(
    backbone: Path, wanted: str, lora: bool, held: torch.dtype
) -> None:
    config = config_of(backbone, **{"architecture.backbone_dtype": wanted, "training.lora": lora})
    model, chosen = load_model(config, device="cpu", trains=True)
    layer = model.model.layers[0].mlp.down_proj.weight
    assert layer.dtype == held
    halves = {torch.float32: 2, torch.bfloat16: 1, torch.int8: 0.5, torch.uint8: 0.25}
    assert layer.numel() * layer.element_size() == 64 * 128 * 2 * halves[held]
    assert chosen.value == {torch.int8: "int8", torch.uint8: "int4"}.get(held, str(held).removeprefix("torch."))


def test_backbone_dropout_is_set_for_training_alone_and_changes_the_losses(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"architecture.intermediate_dropout": 0.4, "training.lora_dropout": 0.0})
    assert dropouts_of(load_model(config, device="cpu")[0].config) == ["attention_dropout"]
    for trains, share in ((True, 0.4), (False, 0.0)):
        model, _ = load_model(config, device="cpu", trains=trains)
        assert {layer.self_attn.attention_dropout for layer in model.model.layers} == {share}
    plain = config_of(backbone, **{"training.lora_dropout": 0.0})
    for packed in (False, True):
        dropped = [step.loss for step in run(config, tmp_path / f"a{packed}", packed=packed)[0]]
        whole = [step.loss for step in run(plain, tmp_path / f"b{packed}", packed=packed)[0]]
        assert dropped != whole
        assert dropped[-1] < dropped[0]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.1), (0.3, 0.3)])
def test_every_dropout_of_the_architecture_is_set_and_what_is_saved_says_the_backbones_own(
    backbone: Path, tmp_path: Path, share: float, expected: float
) -> None:
    GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2)).save_pretrained(tmp_path / "own")
    config = config_of(tmp_path / "own", **{"architecture.intermediate_dropout": share})
    model, _ = load_model(config, device="cpu", trains=True)
    assert [one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)] == [expected] * 7
    model.save_pretrained(tmp_path / "tuned")
    saved = AutoConfig.from_pretrained(tmp_path / "tuned")
    assert (saved.embd_pdrop, saved.resid_pdrop, saved.attn_pdrop) == (0.1, 0.1, 0.1)


def test_loading_and_checkpointing_print_no_warning_of_the_libraries(backbone: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        quiet()
        model_of(config_of(backbone, **{"architecture.gradient_checkpointing": True}))
    assert [str(one.message) for one in said] == []


def test_a_gpu_computes_in_the_type_that_is_set_and_a_cpu_never_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = make_config({"environment.mixed_precision_dtype": "float16"}).environment
    plain = make_config({}).environment
    off = make_config({"environment.mixed_precision": False}).environment
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_autocast(device="cuda:0", environment=wanted, dtype="bfloat16") == (torch.float16, "as set")
    assert choose_autocast(device="cuda:0", environment=plain, dtype="bfloat16")[0] is torch.bfloat16
    assert choose_autocast(device="cpu", environment=wanted, dtype="float32")[0] is not torch.float16
    assert choose_autocast(device="cpu", environment=off, dtype="float32")[0] is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    found, why = choose_autocast(device="cuda:0", environment=plain, dtype="float16")
    assert found is torch.float16 and why == "as set"
    assert choose_autocast(device="cuda:0", environment=plain, dtype="float32")[0] is torch.float16


@pytest.mark.parametrize(("has", "found"), [(True, torch.bfloat16), (False, None)])
@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_cpu_computes_in_16_bits_only_where_it_has_them(
    monkeypatch: pytest.MonkeyPatch, wanted: str, has: bool, found: torch.dtype | None
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has, raising=False)
    environment = make_config({"environment.mixed_precision_dtype": wanted}).environment
    assert choose_autocast(device="cpu", environment=environment, dtype="float32")[0] is found
