"""What is trained and where it starts: each setting does as it says; what is saved is the tuned model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from llm_studio.config import ExperimentConfig
from llm_studio.config.checks import check
from llm_studio.errors import UserError
from llm_studio.modeling.adapter_start import WEIGHTS_FILE, save_model, take_out_first
from llm_studio.modeling.loading import load_model, quiet
from llm_studio.modeling.merging import logits_from_disk, with_own_head
from llm_studio.training.processes import Processes
from llm_studio.worker.job_together import whole_weights
from tests.support.tiny import config_of, model_of, run
from tests.support.tuned import make_backbone

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


def trained_names(model: Any) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def reloaded(config: ExperimentConfig, folder: Path) -> Any:
    backbone, _ = load_model(config, device="cpu")
    return PeftModel.from_pretrained(backbone, str(folder))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "DoRA": {"use_dora": True},
    "rsLoRA": {"use_rslora": True},
    "PiSSA": {"init_lora_weights": "pissa"},
    "PiSSA with rsLoRA": {"init_lora_weights": "pissa", "use_rslora": True},
    "embeddings in full": {"lora_unfreeze_layers": ("embed",)},
    "norms in full": {"lora_unfreeze_layers": ("norm",)},
    "a layer in full": {"lora_unfreeze_layers": ("layers.1.mlp",)},
    "head in full": {"lora_unfreeze_layers": ("head",)},
    "PiSSA and embeddings in full": {"init_lora_weights": "pissa", "lora_unfreeze_layers": ("embed",)},
    "on the embeddings": {"lora_target_modules": "up_proj,embed_tokens"},
    "on the head": {"lora_target_modules": "q_proj,lm_head"},
    "DoRA on the embeddings": {"use_dora": True, "lora_target_modules": "up_proj,embed_tokens"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_saved_gives_the_tuned_model_again_and_so_does_merging(
    backbone: Path, tmp_path: Path, variant: str
) -> None:
    changes = {f"training.{name}": value for name, value in VARIANTS[variant].items()}
    config = config_of(backbone, **changes, **{"training.epochs": 1})
    steps, model, _ = run(config, tmp_path / "resume")
    assert steps[-1].loss != steps[0].loss
    save_model(model, tmp_path / "saved")
    expected = logits(model)
    untouched = logits(load_model(config, device="cpu")[0])
    assert float((expected - untouched).abs().max()) > 1e-2
    again = reloaded(config, tmp_path / "saved")
    assert torch.allclose(logits(again), expected, atol=1e-4)
    merged = with_own_head(again).merge_and_unload(safe_merge=True)
    assert torch.allclose(logits(merged), expected, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    assert torch.allclose(logits_from_disk(tmp_path / "merged", "float32", IDS.tolist())[0], expected, atol=1e-4)
    assert torch.equal(logits(model), expected)
    save_model(model, tmp_path / "split", whole_weights(model, Processes(kind="fsdp")))
    one, other = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("saved", "split"))
    assert one.keys() == other.keys() and all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_dora_learns_a_size_beside_the_direction_and_rslora_scales_by_the_root_of_the_rank(backbone: Path) -> None:
    assert any(
        "magnitude" in name for name in trained_names(model_of(config_of(backbone, **{"training.use_dora": True})))
    )
    scales = {}
    for name in (False, True):
        model = model_of(config_of(backbone, **{"training.use_rslora": name}))
        scales[name] = model.get_base_model().model.layers[0].self_attn.q_proj.scaling["default"]
    assert scales == {False: 32 / 16, True: 32 / 4}


def test_pissa_starts_from_the_backbone_itself_but_not_from_zero(backbone: Path) -> None:
    config = config_of(backbone, **{"training.init_lora_weights": "pissa"})
    model = model_of(config)
    untouched = logits(load_model(config, device="cpu")[0])
    assert torch.allclose(logits(model), untouched, atol=1e-4)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    assert float(layer.lora_B["default"].weight.abs().max()) > 0
    assert (
        float(
            (layer.base_layer.weight - load_model(config, device="cpu")[0].model.layers[0].self_attn.q_proj.weight)
            .abs()
            .max()
        )
        > 1e-3
    )


def test_a_training_with_pissa_goes_on_to_the_same_losses(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.init_lora_weights": "pissa"})
    whole = [step.loss for step in run(config, tmp_path / "whole")[0]]
    first = run(config, tmp_path / "parts", stop_after=5)[0]
    second = run(config, tmp_path / "parts")[0]
    assert [step.loss for step in first + second] == whole


@pytest.mark.parametrize("root", [False, True])
def test_pissa_goes_on_from_what_is_saved_of_it_as_if_it_had_not_ended(
    backbone: Path, tmp_path: Path, root: bool
) -> None:
    changes = {"training.init_lora_weights": "pissa", "training.use_rslora": root, "training.epochs": 1}
    config = config_of(backbone, **changes)
    _, model, _ = run(config, tmp_path / "resume")
    save_model(model, tmp_path / "saved")
    again = model_of(config.with_changes({"training.init_lora_weights": "default"}))
    saved = load_file(tmp_path / "saved" / WEIGHTS_FILE)
    set_peft_model_state_dict(again, take_out_first(again, saved))
    assert torch.allclose(logits(again), logits(model), atol=1e-4)
    weights = dict(model.named_parameters())
    assert all(torch.allclose(weight, weights[name], atol=1e-5) for name, weight in again.named_parameters())
    save_model(again, tmp_path / "twice")
    twice = load_file(tmp_path / "twice" / WEIGHTS_FILE)
    assert all(torch.equal(weight, twice[name]) for name, weight in saved.items())


def test_an_adapter_that_did_not_begin_as_pissa_takes_nothing_out(backbone: Path) -> None:
    model = model_of(config_of(backbone))
    before = logits(model)
    plain = {name.replace(".default", ""): weight for name, weight in model.named_parameters()}
    assert take_out_first(model, plain) is plain
    assert torch.equal(logits(model), before)


def test_loftq_brings_four_bits_nearer_to_the_backbone_and_dora_begins_there_too(backbone: Path) -> None:
    wanted = logits(load_model(config_of(backbone), device="cpu")[0])
    four = {"architecture.backbone_dtype": "int4"}
    plain = logits(model_of(config_of(backbone, **four)))
    loftq, dora = (
        model_of(config_of(backbone, **four, **{"training.init_lora_weights": "loftq", "training.use_dora": dora}))
        for dora in (False, True)
    )
    assert float((logits(loftq) - wanted).norm()) < 0.9 * float((plain - wanted).norm())
    assert torch.allclose(logits(dora), logits(loftq), atol=1e-4)
    assert any("magnitude" in name for name in trained_names(dora))


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_pissa_on_weights_that_were_quantised_for_lack_of_memory_is_refused_in_words(
    backbone: Path, dtype: str
) -> None:
    changes = {"training.init_lora_weights": "pissa", "architecture.backbone_dtype": dtype}
    with pytest.raises(UserError) as caught:
        model_of(config_of(backbone, **changes))
    assert caught.value.where == "training.init_lora_weights"


@pytest.mark.parametrize(
    ("start", "dtype", "refused"),
    [
        ("pissa", "int8", True), ("pissa", "int4", True), ("pissa", "bfloat16", False),
        ("loftq", "int4", False), ("loftq", "bfloat16", True), ("default", "int4", False),
    ],
)  # fmt: skip
def test_a_start_that_the_number_type_cannot_have_is_refused_before_the_start(
    backbone: Path, start: str, dtype: str, refused: bool
) -> None:
    config = config_of(backbone, **{"training.init_lora_weights": start, "architecture.backbone_dtype": dtype})
    found = check(config, train_rows=100, validation_rows=60, device="cpu")
    errors = [one.path for one in found if one.level == "error"]
    assert errors == (["training.init_lora_weights"] if refused else [])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"lora_r": 65}, "training.lora_r"),
        ({"lora_r": 33, "lora_target_modules": "k_proj"}, "training.lora_r"),
        ({"lora_target_modules": "q_proj,lm_head"}, "training.lora_target_modules"),
        ({"lora_target_modules": "q_proj,embed_tokens"}, "training.lora_target_modules"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["pissa", "loftq"])
def test_a_start_that_could_not_be_saved_is_refused(
    backbone: Path, changes: dict[str, Any], where: str, start: str
) -> None:
    named = {f"training.{name}": value for name, value in (changes | {"init_lora_weights": start}).items()}
    dtype = "int4" if start == "loftq" else "float32"
    config = config_of(backbone, **named, **{"architecture.backbone_dtype": dtype})
    if start == "loftq" and where != "training.lora_r":
        model_of(config)
        return
    with pytest.raises(UserError) as caught:
        model_of(config)
    assert caught.value.where == where
    assert model_of(config.with_changes({"training.init_lora_weights": "default"}))


def test_layers_in_full_are_trained_beside_the_adapter_also_on_a_quantised_backbone(backbone: Path) -> None:
    for dtype in ("float32", "int8", "int4"):
        changes = {"training.lora_unfreeze_layers": ("norm",), "architecture.backbone_dtype": dtype}
        names = trained_names(model_of(config_of(backbone, **changes)))
        assert any("lora_A" in name for name in names)
        assert any("norm" in name for name in names)


def test_a_quantised_layer_cannot_be_trained_in_full(backbone: Path) -> None:
    changes = {"training.lora_unfreeze_layers": ("mlp",), "architecture.backbone_dtype": "int8"}
    with pytest.raises(UserError) as caught:
        model_of(config_of(backbone, **changes))
    assert "quantised" in caught.value.what


def test_frozen_layers_do_not_move_and_the_others_do(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.lora": False, "training.freeze_layers": ("embed", "layers.0")})
    before = {name: weight.detach().clone() for name, weight in model_of(config).named_parameters()}
    _, model, _ = run(config, tmp_path)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert not any("embed" in name or "layers.0" in name for name in moved)
    assert any("layers.1" in name for name in moved)


@pytest.mark.parametrize(
    ("setting", "texts", "expected"),
    [
        ("lora_unfreeze_layers", ("embeddings",), "embed_tokens"),
        ("freeze_layers", ("layer_0",), "layers"),
        ("freeze_layers", ("model",), "nothing is left"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_with_the_nearest(
    backbone: Path, setting: str, texts: tuple[str, ...], expected: str
) -> None:
    changes = {f"training.{setting}": texts, "training.lora": setting != "freeze_layers"}
    with pytest.raises(UserError) as caught:
        model_of(config_of(backbone, **changes))
    assert expected in f"{caught.value.what} {caught.value.fix}"
    assert caught.value.where == f"training.{setting}"
