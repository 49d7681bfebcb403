"""The learning rate over the steps of a training, and which weights are decayed."""

from pathlib import Path

import pytest

from llm_studio.modeling.loading import load_model
from llm_studio.training.schedules import parameter_groups, rate_factor
from tests.support.tiny import config_of
from tests.support.tuned import make_backbone


def test_schedules_rise_then_fall_to_their_floor() -> None:
    for name, middle in (("Linear", 0.55), ("Cosine", 0.55)):
        factor = rate_factor(name, steps=110, warmup_steps=10, floor=0.1)
        assert factor(0) == pytest.approx(0.1)
        assert factor(9) == pytest.approx(1.0)
        assert factor(60) == pytest.approx(middle)
        assert factor(110) == pytest.approx(0.1)
    constant = rate_factor("Constant", steps=110, warmup_steps=0, floor=0.1)
    assert constant(0) == constant(109) == 1.0


def test_norms_and_biases_are_not_decayed(tmp_path: Path) -> None:
    backbone = make_backbone(tmp_path)
    model, _ = load_model(config_of(backbone), device="cpu")
    decayed, plain = parameter_groups(model, 0.1)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert all("norm" in names[id(weight)] for weight in plain["params"])
    assert not any("norm" in names[id(weight)] for weight in decayed["params"])
