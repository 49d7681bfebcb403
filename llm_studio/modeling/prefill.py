"""Reads the prompts of many rows into one cache, rows of like length together, so that padding is hardly computed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from llm_studio.modeling.key_value_cache import growing_cache, only_grows

LEAST_TOKENS = 1024
"""A group smaller than this does not keep the device busy."""
MOST_TOKENS = 16_384
"""A group takes no more, which bounds the memory of reading."""
Read = Callable[[Any, torch.Tensor, torch.Tensor, DynamicCache, dict[str, int]], torch.Tensor]
"""What reads prompts into a cache, as `read` does."""
CLOSE = 0.9
"""Rows of at least this share of the group's longest row join it."""


def read(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, last_only: dict[str, int]
) -> torch.Tensor:
    """Logits of the last token of each row, [B, V]; the cache then holds all prompts, padded on the left.

    ids, mask: [B, W], padded on the left. last_only: arguments that leave out the other logits, where the model knows
    them.
    """
    lengths = mask.sum(-1).tolist()
    groups = like_lengths(lengths)
    if len(groups) == 1 or not only_grows(cache):
        return _logits(model, ids, mask, cache, last_only)
    width, found = ids.shape[1], []
    for rows in groups:
        chosen = torch.tensor(rows, device=ids.device)
        start = width - max(lengths[row] for row in rows)
        part = growing_cache(model)
        found.append(_logits(model, ids[chosen, start:], mask[chosen, start:], part, last_only))
        for whole, read_now in zip(cache.layers, part.layers, strict=True):
            whole.place(chosen, read_now.keys, read_now.values, rows=len(lengths), length=width)
    order = torch.tensor([row for rows in groups for row in rows], device=ids.device)
    return torch.cat(found)[order.argsort()]


def like_lengths(lengths: Sequence[int], most: int = MOST_TOKENS) -> list[list[int]]:
    """Numbers of the rows in groups of at most `most` tokens, the longest first; one row at least."""
    groups: list[list[int]] = []
    width = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        tokens = width * len(groups[-1]) if groups else 0
        far = tokens >= LEAST_TOKENS and lengths[row] < CLOSE * width
        if not groups or far or tokens + width > most:
            groups.append([])
            width = lengths[row]
        groups[-1].append(row)
    return groups


def _logits(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, last_only: dict[str, int]
) -> torch.Tensor:
    made = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **last_only,
    )
    logits: torch.Tensor = made.logits[:, -1]
    return logits
