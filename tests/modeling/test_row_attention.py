"""Attention in blocks is the plain formula, row by row, with its gradients."""

from collections.abc import Sequence

import pytest
import torch

from llm_studio.modeling import row_attention
from llm_studio.modeling.row_attention import RowAttention

WIDTH = 8
BOUNDS = (0, 1, 101, 401, 402)


def inputs(key_heads: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(heads, BOUNDS[-1], WIDTH, requires_grad=True) for heads in (4, key_heads, key_heads)]


def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int) -> torch.Tensor:
    """[T, heads, width] by one mask over all rows."""
    row = torch.bucketize(torch.arange(BOUNDS[-1]), torch.tensor(BOUNDS[1:-1]), right=True)
    behind = torch.arange(BOUNDS[-1])[:, None] - torch.arange(BOUNDS[-1])[None, :]
    mask = (behind >= 0) & (behind < window) & (row[:, None] == row[None, :])
    attended = torch.nn.functional.scaled_dot_product_attention(
        query[None], key[None], value[None], attn_mask=mask, enable_gqa=True
    )
    return attended[0].transpose(0, 1)


def ours(tensors: Sequence[torch.Tensor], window: int) -> torch.Tensor:
    return RowAttention.apply(*tensors, BOUNDS, WIDTH**-0.5, window)


@pytest.mark.parametrize("window", [1, 7, 150, 1000])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("kept_tokens", [0, 150, 1024])
def test_is_the_plain_formula_with_its_gradients(
    window: int, key_heads: int, kept_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_attention, "KEPT_TOKENS", kept_tokens)
    tensors = inputs(key_heads)
    expected, found = plain(*tensors, window), ours(tensors, window)
    assert torch.allclose(found, expected, atol=1e-5)
    wanted = torch.autograd.grad(expected.square().sum(), tensors)
    made = torch.autograd.grad(found.square().sum(), tensors)
    assert all(torch.allclose(*pair, atol=1e-4) for pair in zip(made, wanted, strict=True))


def test_rows_do_not_see_each_other_to_the_last_bit() -> None:
    tensors = [tensor.detach().to(torch.bfloat16) for tensor in inputs(2)]
    before = ours(tensors, 1000)
    for tensor in tensors:
        tensor[:, 101:401] += 1
    after = ours(tensors, 1000)
    assert torch.equal(before[:101], after[:101]) and torch.equal(before[401:], after[401:])
    assert not torch.equal(before[101:401], after[101:401])


def test_16_bits_are_off_by_no_more_than_they_round() -> None:
    tensors = inputs(4)
    with torch.no_grad():
        found = ours([tensor.to(torch.bfloat16) for tensor in tensors], 1000).float()
        expected = plain(*tensors, 1000)
    assert float((found - expected).norm() / expected.norm()) < 1e-2
