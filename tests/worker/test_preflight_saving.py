"""What checkpoints take, and that measuring leaves no trace in the model."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from llm_studio.modeling.loading import load_tokenizer
from llm_studio.worker import preflight_saving
from llm_studio.worker.preflight_saving import trained_weights, undisturbed, write_checkpoint, write_state
from tests.support.tiny import config_of, model_of, rows_of, trainer_of
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.mark.parametrize("lora", [True, False])
def test_steps_that_were_only_measured_leave_weights_gradients_and_random_numbers_as_they_were(
    backbone: Path, tmp_path: Path, lora: bool
) -> None:
    config = config_of(backbone, **{"training.lora": lora})
    model = model_of(config)
    model.eval()
    before = {name: weight.detach().clone() for name, weight in trained_weights(model)}
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = (torch.rand(1).item(), random.random(), np.random.rand())
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    with undisturbed(model, tmp_path):
        trainer_of(config, tmp_path / "states", model=model).step_on(rows_of(config)[1])
        random.random(), np.random.rand()
        changed = [name for name, weight in trained_weights(model) if not torch.equal(weight, before[name])]
        assert changed
    assert all(torch.equal(weight, before[name]) for name, weight in trained_weights(model))
    assert all(weight.grad is None for _, weight in trained_weights(model))
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == expected
    assert not model.training
    assert not list(tmp_path.glob("*.safetensors"))


def test_weights_come_back_even_when_a_step_fails(backbone: Path, tmp_path: Path) -> None:
    model = model_of(config_of(backbone))
    before = [weight.detach().clone() for _, weight in trained_weights(model)]
    with pytest.raises(RuntimeError, match="stop"), undisturbed(model, tmp_path):
        for _, weight in trained_weights(model):
            weight.data.fill_(float("nan"))
        raise RuntimeError("stop")
    assert all(torch.equal(weight, old) for (_, weight), old in zip(trained_weights(model), before, strict=True))


def test_a_checkpoint_and_a_state_are_as_large_as_those_on_the_disk(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone)
    trainer = trainer_of(config, tmp_path / "states")
    trainer.step_on(rows_of(config)[1])
    trainer.model.save_pretrained(tmp_path / "there")
    load_tokenizer(config).save_pretrained(tmp_path / "there")
    real = sum(path.stat().st_size for path in (tmp_path / "there").iterdir())
    written = write_checkpoint(trainer.model, load_tokenizer(config), tmp_path / "tried")
    assert written.bytes_ == real
    assert not (tmp_path / "tried" / "checkpoint").exists()
    state = write_state(trainer, tmp_path / "states")
    trained = sum(4 * weight.numel() for _, weight in trained_weights(trainer.model))
    assert 3 * trained < state.bytes_ < 3 * trained + 200_000  # weights and two moments of AdamW


def test_a_checkpoint_too_large_to_try_is_told_from_the_pace_of_a_smaller_file(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(config_of(backbone, **{"training.lora": False}))
    monkeypatch.setattr(preflight_saving, "WRITTEN_BYTES", 2**17)
    written = write_checkpoint(model, None, tmp_path)
    assert written.bytes_ == sum(4 * weight.numel() for weight in model.parameters())
    assert written.seconds >= 0
    assert not list(tmp_path.rglob("*.bin"))
