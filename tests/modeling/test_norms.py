"""The fast RMS norms give what transformers' give, with their gradients, and only where they fit."""

from typing import Any

import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from llm_studio.modeling import norms
from llm_studio.modeling.norms import fast_norms, find_norms

WIDTH = 24


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "ELEMENTS", 4 * WIDTH)  # 30 rows in eight pieces, the last of two


def norm_of(kind: Any = LlamaRMSNorm, *, trained: bool = True, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(1)
    norm = kind(WIDTH, eps=1e-5)
    torch.nn.init.normal_(norm.weight, 1.0, 0.2)
    return norm.to(dtype).requires_grad_(trained)


def result(norm: Any, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Output, gradient of the input and, where it is trained, of the weight."""
    torch.manual_seed(2)
    x = torch.randn(2, 5, 3, WIDTH).to(dtype).requires_grad_()
    norm.zero_grad()
    output = norm(x)
    (output.float() * torch.randn(output.shape)).sum().backward()
    return [output.detach(), *(one.grad for one in (x, norm.weight) if one.grad is not None)]


@pytest.mark.parametrize("kind", [LlamaRMSNorm, Qwen3RMSNorm])
@pytest.mark.parametrize("trained", [True, False])
def test_gives_the_outputs_of_transformers_bit_for_bit_and_their_gradients(kind: Any, trained: bool) -> None:
    norm = norm_of(kind, trained=trained)
    theirs = result(norm)
    with fast_norms(find_norms(norm)) as count:
        assert count == 1
        ours = result(norm)
    assert torch.equal(ours[0], theirs[0])
    assert len(ours) == len(theirs) == 2 + trained
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("of_x", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("of_weight", [torch.float32, torch.bfloat16])
def test_rounds_as_transformers_does_and_its_gradients_are_no_less_exact(
    of_x: torch.dtype, of_weight: torch.dtype
) -> None:
    norm = norm_of(dtype=of_weight)
    theirs = result(norm, of_x)
    with fast_norms(find_norms(norm)) as count:
        assert count == 1
        ours = result(norm, of_x)
    assert [one.dtype for one in ours] == [one.dtype for one in theirs]
    assert torch.equal(ours[0], theirs[0])
    exact = norm_of()
    exact.weight.data.copy_(norm.weight)
    for mine, other, right in zip(ours[1:], theirs[1:], result_in_float32(exact, of_x), strict=True):
        assert (mine.float() - right).norm() <= 1.05 * (other.float() - right).norm() + 1e-5


def result_in_float32(norm: Any, rounded_to: torch.dtype) -> list[torch.Tensor]:
    """Gradients of input and weight, from the same input and output gradient, without rounding on the way."""
    torch.manual_seed(2)
    x = torch.randn(2, 5, 3, WIDTH).to(rounded_to).float().requires_grad_()
    output = norm(x)
    return list(torch.autograd.grad((output * torch.randn(output.shape)).sum(), (x, norm.weight)))


def test_leaves_other_norms_alone_and_gives_every_norm_back() -> None:
    norm = norm_of()
    hooked = norm_of()
    hooked.register_forward_hook(lambda module, inputs, output: None)
    several = torch.nn.ModuleList([norm, norm_of(GemmaRMSNorm), torch.nn.LayerNorm(WIDTH), hooked])
    with fast_norms(find_norms(several)) as count:
        assert count == 1
        assert "forward" in vars(norm)
    assert "forward" not in vars(norm)


def test_computes_again_what_checkpointing_asks_for() -> None:
    norm = norm_of()
    with fast_norms(find_norms(norm)):
        plain = result(norm)
        inner = norm.forward
        norm.forward = lambda x: torch.utils.checkpoint.checkpoint(inner, x, use_reentrant=False)
        again = result(norm)
        norm.forward = inner
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
