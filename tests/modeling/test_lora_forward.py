"""The fast forward of LoRA layers gives what PEFT's gives, with its gradients, and only where it fits."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from llm_studio.modeling.dropout import kept
from llm_studio.modeling.lora_forward import LoraProduct, fast_lora

ROWS, WIDTH = 40, 24


class Twins(torch.nn.Module):
    """Two layers that read the same input, and one that reads them."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.left, self.right = (torch.nn.Linear(WIDTH, 32, bias=bias) for _ in range(2))
        self.last = torch.nn.Linear(32, 8, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.nn.functional.silu(self.left(x)) * self.right(x))


def adapted(*, bias: bool = False, dropout: float = 0.0, **settings: Any) -> Any:
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=["left", "right", "last"], **settings)
    model = get_peft_model(Twins(bias=bias), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def result(model: Any, *, autocast: bool = False, seed: int = 3) -> list[torch.Tensor]:
    """Output, gradient of the input, gradients of the adapter."""
    torch.manual_seed(5)
    x = torch.randn(2, ROWS, WIDTH, requires_grad=True)
    torch.manual_seed(seed)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = model(x)
    output.float().square().sum().backward()
    return [output.detach().float(), x.grad, *(weight.grad for weight in model.parameters() if weight.requires_grad)]


def differences(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> Iterator[float]:
    for one, other in zip(ours, theirs, strict=True):
        yield float((one - other).norm() / other.norm())


@pytest.mark.parametrize("bias", [True, False])
def test_gives_the_outputs_and_gradients_of_peft(bias: bool) -> None:
    model = adapted(bias=bias)
    theirs = result(model)
    with fast_lora(model) as layers:
        assert layers == 3
        ours = result(model)
    assert max(differences(ours, theirs)) < 1e-6


def test_is_as_exact_as_peft_in_16_bits() -> None:
    model = adapted()
    exact = result(model)
    theirs = result(model, autocast=True)
    with fast_lora(model):
        ours = result(model, autocast=True)
    for mine, other in zip(differences(ours, exact), differences(theirs, exact), strict=True):
        assert mine < 1.2 * other


def test_dropout_has_the_gradients_of_the_plain_formula() -> None:
    torch.manual_seed(2)
    x, down, up = (torch.randn(shape, requires_grad=True) for shape in ((ROWS, WIDTH), (4, WIDTH), (8, 4)))
    weight, keep = torch.randn(8, WIDTH), kept((ROWS, WIDTH), 0.3, torch.float32)
    plain = x @ weight.t() + 2.0 * ((x * keep) @ down.t()) @ up.t()
    fast = LoraProduct.apply(x, weight, None, down, up, 2.0, keep)
    torch.testing.assert_close(fast, plain)
    theirs = torch.autograd.grad(plain.square().sum(), (x, down, up))
    for mine, other in zip(torch.autograd.grad(fast.square().sum(), (x, down, up)), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-3)


def test_dropout_is_a_function_of_the_seed_and_stops_in_eval_mode() -> None:
    model = adapted(dropout=0.5)
    with fast_lora(model):
        first, again, other = result(model), result(model), result(model, seed=4)
        model.eval()
        still = result(model)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert max(differences(still, result(model))) < 1e-6


def test_dropout_drops_the_same_when_activations_are_computed_again() -> None:
    model = adapted(dropout=0.5)
    with fast_lora(model):
        plain = result(model, autocast=True)
        inner, forward = model.base_model.model, model.base_model.model.forward
        inner.forward = lambda x: torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=False)
        again = result(model, autocast=True)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_leaves_to_peft_what_it_does_not_compute() -> None:
    with fast_lora(adapted(use_dora=True)) as layers:
        assert layers == 0
    model = adapted()
    model.merge_adapter()
    with fast_lora(model) as layers:
        assert layers == 0


def test_a_16_bit_backbone_without_autocast_is_computed_by_peft() -> None:
    model = adapted()
    for name, weight in model.named_parameters():
        if "lora" not in name:
            weight.data = weight.data.to(torch.bfloat16)
    x = torch.randn(3, WIDTH, dtype=torch.bfloat16)
    theirs = model(x)
    with fast_lora(model):
        assert torch.equal(model(x), theirs)


def test_gives_the_layers_back_even_after_an_error() -> None:
    model = adapted()
    with pytest.raises(RuntimeError), fast_lora(model):
        raise RuntimeError
    assert not any("forward" in module.__dict__ for module in model.modules())
