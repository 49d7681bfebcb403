"""The CPU's dropout drops as often as torch's, scales as it does, and leaves scoring alone."""

import pytest
import torch

from llm_studio.modeling.dropout import PIECE, SixteenBitDropout, draw_fewer, kept


@pytest.mark.parametrize("p", [0.05, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drops_this_share_scales_the_rest_and_passes_the_same_gradient(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(7, 50_001, dtype=dtype, requires_grad=True)
    made = SixteenBitDropout(p)(values)
    made.sum().backward()
    gone = made.detach() == 0
    assert float(gone.float().mean()) == pytest.approx(p, abs=0.003)
    assert torch.all(made[~gone] == torch.tensor(1 / (1 - p), dtype=dtype))
    assert torch.equal(values.grad, made.detach())
    share_by_place = gone.float().view(-1)[: gone.numel() // 4 * 4].view(-1, 4).mean(0)
    assert share_by_place.tolist() == pytest.approx([p] * 4, abs=0.01)


@pytest.mark.parametrize("count", [7, 4 * PIECE, 4 * PIECE + 5])
def test_a_mask_drawn_in_pieces_is_the_mask_drawn_at_once(count: int) -> None:
    torch.manual_seed(4)
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count]
    torch.manual_seed(4)
    mask = kept((1, count), 0.3, torch.bfloat16)
    assert mask.tolist() == [(drawn >= round(0.3 * 2**16) - 2**15).tolist()]


def test_the_same_seed_drops_the_same() -> None:
    layer, values = SixteenBitDropout(0.3), torch.ones(100)
    torch.manual_seed(3)
    first = layer(values)
    torch.manual_seed(3)
    assert torch.equal(first, layer(values))
    assert not torch.equal(first, layer(values))


def test_only_layers_that_drop_are_changed_and_scoring_drops_nothing() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.0), torch.nn.Linear(2, 2))
    assert draw_fewer(model) == 1
    assert draw_fewer(model) == 0
    values = torch.ones(3, 2)
    assert torch.equal(model[0].eval()(values), values)
