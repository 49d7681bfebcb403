"""Prompts of very different lengths are read in groups, and the cache is that of reading them all at once."""

from typing import Any

import pytest
import torch

from llm_studio.modeling import prefill
from llm_studio.modeling.key_value_cache import growing_cache
from llm_studio.modeling.loading import load_model, quiet
from tests.support.tiny import config_of
from tests.support.tuned import make_backbone

LENGTHS = [3, 40, 7, 12, 41, 2, 39]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    quiet()
    made, _ = load_model(config_of(make_backbone(tmp_path_factory.mktemp("backbone"))), device="cpu")
    return made.eval()


def padded(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(lengths)
    mask = (torch.arange(width)[None] >= width - torch.tensor(lengths)[:, None]).long()
    ids = torch.arange(len(lengths) * width).view(-1, width) % 50 + 3
    return ids * mask, mask


def test_groups_hold_every_row_once_and_hardly_any_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefill, "LEAST_TOKENS", 1)
    groups = prefill.like_lengths(LENGTHS)
    assert sorted(row for rows in groups for row in rows) == list(range(len(LENGTHS)))
    assert groups[0] == [4, 1, 6]
    assert all(LENGTHS[row] >= prefill.CLOSE * LENGTHS[rows[0]] for rows in groups for row in rows)


def test_short_prompts_are_one_group_and_long_ones_are_bounded() -> None:
    assert prefill.like_lengths([5, 9, 2]) == [[1, 0, 2]]
    long = prefill.MOST_TOKENS // 2
    assert prefill.like_lengths([long, long, long]) == [[0, 1], [2]]
    assert prefill.like_lengths([3 * long]) == [[0]]


def test_cache_and_logits_are_those_of_reading_all_at_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, mask = padded(LENGTHS)
    whole, parts = growing_cache(model), growing_cache(model)
    with torch.no_grad():
        expected = prefill.read(model, ids, mask, whole, {"logits_to_keep": 1})
        monkeypatch.setattr(prefill, "LEAST_TOKENS", 1)
        seen: list[tuple[int, ...]] = []
        hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
        found = prefill.read(model, ids, mask, parts, {"logits_to_keep": 1})
        hook.remove()
        assert seen == [(3, 41), (1, 12), (1, 7), (1, 3), (1, 2)]
        assert torch.allclose(found, expected, atol=1e-5)
        assert parts.get_seq_length() == whole.get_seq_length() == 41
        for one, other in zip(parts.layers, whole.layers, strict=True):
            real = mask[:, None, :, None].bool()
            assert torch.allclose(one.keys * real, other.keys * real, atol=1e-5)
            assert torch.allclose(one.values * real, other.values * real, atol=1e-5)
            assert torch.equal(
                one.keys[~real.expand_as(one.keys)], torch.zeros_like(one.keys)[~real.expand_as(one.keys)]
            )
        for cache in (whole, parts):
            cache.batch_select_indices(torch.tensor([1, 2]))
        more = {
            "input_ids": torch.tensor([[5], [6]]),
            "attention_mask": torch.cat([mask[[1, 2]], torch.ones(2, 1, dtype=torch.long)], 1),
            "position_ids": torch.tensor([[40], [7]]),
        }
        one = model(**more, past_key_values=whole, use_cache=True).logits
        other = model(**more, past_key_values=parts, use_cache=True).logits
    assert torch.allclose(one, other, atol=1e-5)
