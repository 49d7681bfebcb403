"""Keys and values of the tokens read so far, in memory that has room for more, so that a new token copies nothing."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Tokens that memory is taken for ahead."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """transformers' layer copies all tokens for each new one. keys, values: [B, heads, T, width], views of the room."""

    keys: torch.Tensor
    values: torch.Tensor
    _rooms: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *arguments: Any, **named: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens; gives all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._rooms is None or self._rooms[0].shape[-2] < after:
            self._rooms = (self._wider(self.keys, key_states, after), self._wider(self.values, value_states, after))
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, before:after] = states
        self.keys, self.values = (room[:, :, :after] for room in self._rooms)
        return self.keys, self.values

    def place(self, chosen: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, rows: int, length: int) -> None:
        """Put what other caches read of the rows `chosen` at the end of the first `length` of all `rows` rows.

        keys, values: [chosen, heads, T, width]. What nobody puts stays 0; a mask must hide it.
        """
        if self._rooms is None:
            self.lazy_initialization(keys, values)
            shape = (rows, keys.shape[1], length + ROOM, keys.shape[3])
            self._rooms = (keys.new_zeros(shape), values.new_zeros((*shape[:3], values.shape[3])))
            self.keys, self.values = (room[:, :, :length] for room in self._rooms)
        for room, states in zip(self._rooms, (keys, values), strict=True):
            room[chosen, :, length - states.shape[2] : length] = states

    def keep(self, chosen: torch.Tensor, length: int, more: Sequence["GrowingLayer"] = ()) -> None:
        """Keep these rows and take those of `more` behind them, the last `length` tokens of each; zeros stand before
        rows that have fewer, and a mask must hide them."""
        parts = [(self, chosen), *((layer, None) for layer in more)]
        self._rooms = (
            self._joined(self.keys, length, [(layer.keys, rows) for layer, rows in parts]),
            self._joined(self.values, length, [(layer.values, rows) for layer, rows in parts]),
        )
        self.keys, self.values = (room[:, :, :length] for room in self._rooms)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows only."""
        if self._rooms is not None:
            self.keep(indices, self.get_seq_length())

    @staticmethod
    def _joined(
        like: torch.Tensor, length: int, parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]]
    ) -> torch.Tensor:
        count = sum(len(states if rows is None else rows) for states, rows in parts)
        room = like.new_empty((count, like.shape[1], length + ROOM, like.shape[3]))
        at = 0
        for states, rows in parts:
            states = states[:, :, -length:]
            states = states if rows is None else states[rows]
            own = room[at : at + len(states)]
            own[:, :, : length - states.shape[2]] = 0
            own[:, :, length - states.shape[2] : length] = states
            at += len(states)
        return room

    @staticmethod
    def _wider(old: torch.Tensor, states: torch.Tensor, length: int) -> torch.Tensor:
        rows, heads, _, width = states.shape
        room = states.new_empty((rows, heads, length + ROOM, width))
        if old.numel():
            room[:, :, : old.shape[-2]] = old
        return room


def growing_cache(model: Any) -> DynamicCache:
    """An empty cache for a model; layers of other kinds (a window, a state) stay those of transformers."""
    cache = DynamicCache(config=model.config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def only_grows(cache: DynamicCache) -> bool:
    """Whether the cache is keys and values of all tokens and nothing else, so that rows can join others."""
    return all(type(layer) is GrowingLayer for layer in cache.layers)


def can_drop_rows(cache: DynamicCache) -> bool:
    """Whether every layer can forget rows that have ended."""
    return all(hasattr(layer, "batch_select_indices") for layer in cache.layers)


def bytes_per_token(model: Any) -> int:
    """Memory that keys and values of one token of one row take, over all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    kept = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    size = next(model.parameters()).element_size() if next(model.parameters()).is_floating_point() else 4
    return int(2 * config.num_hidden_layers * kept * width * max(2, size))
