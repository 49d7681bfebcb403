"""Causal attention of packed rows on a CPU by batched matrix products: blocks of queries with the keys they may see.

torch's attention for CPUs takes 1.3 to 2.5 times as long in 16 bits, forward and backward (rows of 150 to 1,000 tokens,
8 heads of width 32 or 12 of 64; process time of one thread, AVX-512 BF16); in float32 it is the faster one.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

BLOCK = 128
"""Queries taken at once."""
KEPT_TOKENS = 1024
"""Rows up to this length keep their attention weights for the backward, half a square of the length for each head;
longer ones compute them again."""


class RowAttention(torch.autograd.Function):  # type: ignore[misc]
    """softmax(scaling q k' where visible) v, each row by itself.

    query: [heads, T, width]; key, value: [key heads, T, width]; all of one number type. bounds: of the rows, from 0 to
    T. window: keys that a query sees at most, its own among them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bounds: Sequence[int],
        scaling: float,
        window: int,
    ) -> torch.Tensor:
        """[T, heads, width]."""
        heads, tokens, width = key.shape
        key, value = key.contiguous(), value.contiguous()
        grouped = query.contiguous().view(heads, -1, tokens, width)  # [key heads, heads for each, T, width]
        result = query.new_empty(tokens, query.shape[0], width)
        places = result.view(tokens, heads, -1, width).permute(1, 2, 0, 3)
        kept = []
        for first, begin, end, keeps in blocks(bounds, window):
            part = grouped[:, :, begin:end].reshape(heads, -1, width)
            weights = attention_weights(part, key[:, first:end], scaling, window, end - begin)
            made = weights @ value[:, first:end]
            places[:, :, begin:end] = made.view(heads, -1, end - begin, width)
            if keeps:
                kept.append(weights)
        ctx.save_for_backward(grouped, key, value, *kept)
        ctx.bounds, ctx.scaling, ctx.window = bounds, scaling, window
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """Gradients of query, key and value."""
        grouped, key, value, *kept = ctx.saved_tensors
        heads, tokens, width = key.shape
        scaling, window = ctx.scaling, ctx.window
        places = gradient.view(tokens, heads, -1, width).permute(1, 2, 0, 3)
        by_query, by_key, by_value = torch.empty_like(grouped), torch.zeros_like(key), torch.zeros_like(value)
        remembered = iter(kept)
        for first, begin, end, keeps in blocks(ctx.bounds, window):
            part = grouped[:, :, begin:end].reshape(heads, -1, width)
            here = places[:, :, begin:end].reshape(heads, -1, width)
            keys, values = key[:, first:end], value[:, first:end]
            weights = next(remembered) if keeps else attention_weights(part, keys, scaling, window, end - begin)
            by_weights = here @ values.transpose(1, 2)
            by_scores = torch._softmax_backward_data(by_weights, weights, -1, weights.dtype)
            found = torch.baddbmm(part, by_scores, keys, beta=0, alpha=scaling)
            by_query[:, :, begin:end] = found.view(heads, -1, end - begin, width)
            by_key[:, first:end].baddbmm_(by_scores.transpose(1, 2), part, alpha=scaling)
            by_value[:, first:end].baddbmm_(weights.transpose(1, 2), here)
        return by_query.view(-1, tokens, width), by_key, by_value, None, None, None


def blocks(bounds: Sequence[int], window: int) -> list[tuple[int, int, int, bool]]:
    """(first key, first query, end of both, whether its weights are kept) of each block."""
    found = []
    for start, stop in pairwise(bounds):
        for begin in range(start, stop, BLOCK):
            first, end = max(start, begin - window + 1), min(stop, begin + BLOCK)
            found.append((first, begin, end, stop - start <= KEPT_TOKENS))
    return found


def attention_weights(
    query: torch.Tensor, keys: torch.Tensor, scaling: float, window: int, queries: int
) -> torch.Tensor:
    """[key heads, heads for each x queries, keys]: how much each query of a block takes from each key."""
    seen = keys.shape[1]
    scores = torch.baddbmm(query.new_empty(1), query, keys.transpose(1, 2), beta=0, alpha=scaling)
    parts = scores.view(-1, queries, seen)
    if seen <= window:  # the keys before the block are seen by all of it
        parts[:, :, seen - queries :] += hidden_places(queries, queries, window, query.dtype)
    else:
        parts += hidden_places(queries, seen, window, query.dtype)
    return scores.softmax(-1)


@lru_cache(maxsize=128)
def hidden_places(queries: int, keys: int, window: int, dtype: torch.dtype) -> torch.Tensor:
    """[queries, keys], both up to the same token: minus infinity where a query may not see a key, else 0."""
    behind = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None, :]
    return torch.zeros(behind.shape, dtype=dtype).masked_fill((behind < 0) | (behind >= window), -torch.inf)
