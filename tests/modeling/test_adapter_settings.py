"""What the settings of an adapter do: its rank, scale, dropout and layers, and those trained in full beside it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.modeling.adapter_start import save_model
from llm_studio.modeling.loading import quiet
from llm_studio.modeling.lora_forward import fast_lora
from tests.modeling.test_adapters import logits, reloaded, trained_names
from tests.support.tiny import config_of, model_of, run
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def layer_of(config: ExperimentConfig) -> Any:
    """A LoRA layer with identities in its adapter and zeros in its backbone, so that it gives what the adapter adds."""
    layer = model_of(config).get_base_model().model.layers[0].self_attn.q_proj
    with torch.no_grad():
        layer.base_layer.weight.zero_()
        for weight in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
            weight.copy_(torch.eye(*weight.shape))
    return layer


@pytest.mark.parametrize(("rank", "alpha", "root", "scale"), [(3, 12, False, 4.0), (16, 12, True, 3.0)])
def test_an_adapter_has_the_rank_and_the_scale_that_are_set(
    backbone: Path, rank: int, alpha: int, root: bool, scale: float
) -> None:
    changes = {"lora_r": rank, "lora_alpha": alpha, "use_rslora": root}
    layer = layer_of(config_of(backbone, **{f"training.{name}": value for name, value in changes.items()})).eval()
    given = layer(torch.ones(1, 64))[0].tolist()
    assert given == pytest.approx([scale] * rank + [0.0] * (64 - rank))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_this_share_of_the_adapters_inputs_is_dropped_in_training_alone(
    backbone: Path, share: float, fast: bool
) -> None:
    changes = {"training.lora_dropout": share, "training.lora_r": 64, "training.lora_alpha": 64}
    layer = layer_of(config_of(backbone, **changes))
    ones = torch.ones(500, 64)
    with torch.no_grad(), fast_lora(layer) if fast else nullcontext():
        dropped = layer.train()(ones)
        whole = layer.eval()(ones)
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert dropped.max() == pytest.approx(1 / (1 - share))
    assert torch.equal(whole, ones)


LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [("", LINEAR), ("q_proj, up_proj", {"q_proj", "up_proj"}), ("v_proj,lm_head", {"v_proj", "lm_head"})],
)
def test_adapters_are_on_the_layers_named_and_else_on_every_linear_one_but_the_head(
    backbone: Path, targets: str, expected: set[str]
) -> None:
    model = model_of(config_of(backbone, **{"training.lora_target_modules": targets}))
    places = [name.split(".lora_A")[0].split(".") for name in trained_names(model) if "lora_A" in name]
    assert {place[-1] for place in places} == expected
    assert len(places) == sum(1 if name == "lm_head" else 2 for name in expected), "in both decoder layers"


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_dora_learns_on_a_quantised_backbone_what_it_learns_on_a_plain_one(
    backbone: Path, tmp_path: Path, dtype: str
) -> None:
    dora = config_of(backbone, **{"training.use_dora": True, "training.epochs": 1})
    config = dora.with_changes({"architecture.backbone_dtype": dtype})
    plain, _, _ = run(dora, tmp_path / "plain")
    steps, model, _ = run(config, tmp_path / "quantised")
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in plain], abs=0.2)
    save_model(model, tmp_path / "saved")
    again = reloaded(config, tmp_path / "saved")
    for _ in range(2):  # the first reading of 8-bit weights changes where their scales are kept
        assert torch.allclose(logits(again), logits(model), atol=1e-4)


@pytest.mark.parametrize("computing", [None, torch.bfloat16], ids=["as held", "autocast"])
@pytest.mark.parametrize("layers", ["norm", "embed", "head", "layers.1.mlp"])
def test_layers_in_full_learn_in_32_bits_within_a_backbone_in_16_and_are_scored_as_they_are_loaded_again(
    backbone: Path, tmp_path: Path, layers: str, computing: torch.dtype | None
) -> None:
    exact = config_of(
        backbone, **{"training.lora_unfreeze_layers": (layers,), "training.lora_dropout": 0.0, "training.epochs": 1}
    )
    config = exact.with_changes({"architecture.backbone_dtype": "bfloat16"})
    expected, _, _ = run(exact, tmp_path / "exact")
    steps, model, _ = run(config, tmp_path / "resume", autocast=computing)
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in expected], abs=0.02)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    scored = logits(model).float()
    save_model(model, tmp_path / "saved")
    apart = logits(reloaded(config, tmp_path / "saved")).float() - scored
    assert float(apart.norm() / scored.norm()) < 0.02


def test_a_layer_in_full_carries_no_adapter_and_embeddings_stay_those_of_a_head_that_shares_them(
    backbone: Path,
) -> None:
    names = trained_names(model_of(config_of(backbone, **{"training.lora_unfreeze_layers": ("layers.1.mlp",)})))
    in_full = {name for name in names if "layers.1.mlp" in name}
    assert len(in_full) == 3 and all("modules_to_save" in name for name in in_full)
    assert sum("lora_A" in name for name in names) == 2 * len(LINEAR) - 3
    for text in ("embed", "head"):
        model = model_of(config_of(backbone, **{"training.lora_unfreeze_layers": (text,)}))
        shared = model.get_input_embeddings().weight
        assert shared is model.get_output_embeddings().weight and shared.requires_grad
