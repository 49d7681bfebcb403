"""What the settings of an adapter do: its rank, scale, dropout and layers, and those trained in full beside it."""

from pathlib import Path

import pytest
import torch

from llm_studio.modeling.adapter_start import save_model
from llm_studio.modeling.loading import quiet
from tests.modeling.test_adapters import logits, reloaded
from tests.support.tiny import config_of, run
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


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
