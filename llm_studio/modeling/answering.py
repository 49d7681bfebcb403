"""Rows that are being answered: their tokens and cache, from which ended rows leave and which further rows join.

All rows end in the same column and are padded on the left, so that a token is drawn for all of them in one forward. A
row that joins is read by itself and laid beside the others; columns that only ended rows needed are let go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache

from llm_studio.modeling.key_value_cache import only_grows


@dataclass(frozen=True)
class Asked:
    """A row to answer. number: among all. prompt: its tokens. draw: the seed of what is drawn for it, whatever rows are
    beside it. limit: its longest answer in tokens."""

    number: int
    prompt: Sequence[int]
    draw: int
    limit: int


class Answering:
    """ids, mask: [B, W], prompts and answers so far; drawn, limits: [B], tokens of the answers so far and at most;
    ended: [B]. Once a token was drawn, the cache holds all columns but the last.

    chances: [B, N], a number in [0, 1) for each token to draw; N is 0 where nothing is drawn by chance. rows, tokens:
    what was asked, and how many tokens prompt and answer are, known without asking the device.
    """

    def __init__(
        self, asked: Sequence[Asked], cache: DynamicCache, *, pad_id: int, device: torch.device, chances: int
    ) -> None:
        self.rows = list(asked)
        self.cache = cache
        self.pad_id = pad_id
        self.tokens = [len(row.prompt) for row in asked]
        width = max(self.tokens)
        padded = [[pad_id] * (width - len(row.prompt)) + list(row.prompt) for row in asked]
        self.ids = torch.tensor(padded, device=device)
        lengths = torch.tensor(self.tokens, device=device)
        self.mask = (torch.arange(width, device=device)[None] >= width - lengths[:, None]).long()
        self.drawn = torch.zeros(len(asked), dtype=torch.long, device=device)
        self.limits = torch.tensor([row.limit for row in asked], device=device)
        self.ended = torch.zeros(len(asked), dtype=torch.bool, device=device)
        drawn = [np.random.default_rng(row.draw).random(chances, dtype=np.float32) for row in asked]
        self.chances = torch.from_numpy(np.stack(drawn)).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def positions(self) -> torch.Tensor:
        """[B, 1]: of each row's last token; a row that has ended goes no further than its longest answer may."""
        prompts = self.mask.sum(-1) - self.drawn
        return (prompts + torch.minimum(self.drawn, self.limits) - 1)[:, None]

    @property
    def seen(self) -> torch.Tensor:
        """ids without padding: a token of the row itself in its place."""
        return torch.where(self.mask.bool(), self.ids, self.ids[:, -1:])

    @property
    def at_their_limits(self) -> bool:
        """Whether no row may go on, known without asking the device."""
        pairs = zip(self.rows, self.tokens, strict=True)
        return all(count - len(row.prompt) >= row.limit for row, count in pairs)

    def add(self, tokens: torch.Tensor, stops: torch.Tensor) -> None:
        """A drawn token for each row, [B]; rows end at `stops` and at their limit."""
        tokens = torch.where(self.ended, self.pad_id, tokens)
        self.ids = torch.cat([self.ids, tokens[:, None]], 1)
        self.mask = torch.cat([self.mask, torch.ones_like(tokens)[:, None]], 1)
        self.drawn = self.drawn + 1
        self.tokens = [count + 1 for count in self.tokens]
        self.ended = self.ended | torch.isin(tokens, stops) | (self.drawn >= self.limits)

    def answer(self, place: int, stops: Sequence[int]) -> list[int]:
        """The tokens of a row's answer up to the one that ended it."""
        row = self.rows[place]
        drawn = self.tokens[place] - len(row.prompt)
        found: list[int] = self.ids[place, self.ids.shape[1] - drawn :][: row.limit].tolist()
        ends = (index for index, token in enumerate(found) if token in stops)
        return found[: next(ends, len(found))]

    def keep(self, places: Sequence[int], *joining: "Answering") -> None:
        """Only these rows, and those of `joining` behind them, with as many columns as the longest one needs.

        A cache that holds more than keys and values of all tokens keeps its columns; nothing can join it.
        """
        chosen = torch.tensor(places, dtype=torch.long, device=self.ids.device)
        self.rows = [self.rows[place] for place in places] + [row for one in joining for row in one.rows]
        self.tokens = [self.tokens[place] for place in places] + [count for one in joining for count in one.tokens]
        width = self.ids.shape[1]
        if only_grows(self.cache):
            width = max(self.tokens)
            for layer, *more in zip(self.cache.layers, *(one.cache.layers for one in joining), strict=True):
                layer.keep(chosen, width - 1, more)
        else:
            self.cache.batch_select_indices(chosen)
        self.ids = torch.cat([aligned(ids, width, self.pad_id) for ids in _of("ids", self, chosen, joining)])
        self.mask = torch.cat([aligned(mask, width, 0) for mask in _of("mask", self, chosen, joining)])
        self.drawn, self.limits, self.ended, self.chances = (
            torch.cat(_of(name, self, chosen, joining)) for name in ("drawn", "limits", "ended", "chances")
        )


def _of(name: str, kept: Answering, chosen: torch.Tensor, joining: Sequence[Answering]) -> list[torch.Tensor]:
    return [getattr(kept, name)[chosen], *(getattr(one, name) for one in joining)]


def aligned(tensor: torch.Tensor, width: int, fill: int) -> torch.Tensor:
    """The last `width` columns of [B, W], with `fill` before them where there are fewer."""
    missing = width - tensor.shape[1]
    return torch.nn.functional.pad(tensor, (missing, 0), value=fill) if missing > 0 else tensor[:, -width:]
