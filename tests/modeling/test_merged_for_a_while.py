"""While answers are drawn the adapter is added into the backbone's matrices; the model itself stays as it is."""

from typing import Any

import pytest
import torch

from llm_studio.modeling import merged_for_a_while as merging
from llm_studio.modeling.lora_forward import fast_lora
from llm_studio.modeling.merged_for_a_while import merged_for_a_while
from tests.modeling.test_lora_forward import WIDTH, adapted, result

X = torch.arange(5 * WIDTH, dtype=torch.float32).view(5, WIDTH).sin()


def output(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(X)
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}])
def test_outputs_are_those_of_the_adapter_and_the_weights_are_not_touched(bias: bool, settings: dict[str, Any]) -> None:
    model = adapted(bias=bias, **settings).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    expected = output(model)
    with merged_for_a_while(model) as layers:
        calls = []
        model.base_model.model.left.lora_A["default"].register_forward_hook(lambda *_: calls.append(1))
        found = output(model)
        assert (layers, calls) == (3, [])
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(output(model), expected)
    assert calls == [1]
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_training_goes_on_as_if_nothing_had_been_drawn_between() -> None:
    model = adapted()
    with fast_lora(model):
        expected = result(model)
        with merged_for_a_while(model):
            output(model)
        assert all(torch.equal(one, other) for one, other in zip(result(model), expected, strict=True))
        assert "forward" in model.base_model.model.left.__dict__
    assert "forward" not in model.base_model.model.left.__dict__


def test_nothing_is_left_behind_by_an_error() -> None:
    model = adapted()
    with pytest.raises(RuntimeError), merged_for_a_while(model):
        raise RuntimeError("stopped between two tokens")
    assert "forward" not in model.base_model.model.left.__dict__


@pytest.mark.parametrize("kind", ["dora", "switched off", "16 bits", "autocast", "no memory"])
def test_layers_it_does_not_fit_are_left_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(use_dora=kind == "dora").eval()
    if kind == "16 bits":
        model = model.to(torch.bfloat16)
    if kind == "no memory":
        monkeypatch.setattr(merging, "SHARE_OF_FREE", 0.0)
    with model.disable_adapter() if kind == "switched off" else torch.autocast("cpu", enabled=kind == "autocast"):
        expected = model(X.to(torch.bfloat16) if kind == "16 bits" else X)
        with merged_for_a_while(model) as layers:
            assert layers == 0
            assert torch.equal(model(X.to(torch.bfloat16) if kind == "16 bits" else X), expected)
