"""Draws answers token by token for many rows at once; rows that have ended leave the batch.

Our own loop and not `model.generate`, which copies the whole cache for each token, keeps rows that have ended, and
takes several milliseconds a token for bookkeeping, as long as a small model computes. Its processors are used as they
are; beams are left to it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm_studio.config.prediction import Prediction
from llm_studio.errors import Cancelled
from llm_studio.modeling.attention import takes_logits_to_keep
from llm_studio.modeling.key_value_cache import can_drop_rows, growing_cache
from llm_studio.modeling.prefill import Read, read

LOOK_EVERY = {"cpu": 1, "cuda": 8}
"""Tokens between two looks at which rows have ended; on a GPU each look waits for the device."""
TEXT_EVERY = 8
"""Tokens between two looks for stop texts; what is drawn too much is cut off afterwards."""
DROP_SHARE = 0.15
"""Rows that have ended leave the batch when they are this share of it."""


@dataclass(frozen=True)
class Ending:
    """What ends an answer. ids: tokens. texts: of the answer so far says whether it holds a stop text."""

    ids: tuple[int, ...]
    has_text: Callable[[Sequence[int]], bool] | None
    pad_id: int


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    prediction: Prediction,
    ending: Ending,
    *,
    draws: Sequence[int],
    limits: Sequence[int],
    should_stop: Callable[[], bool] = lambda: False,
    reads: Read = read,
) -> list[list[int]]:
    """Token ids of the answers, without the one that ended them.

    draws: a seed for each row, so that what is drawn for a row does not depend on the rows beside it. limits: the
    longest answer of each row in tokens. reads: what reads the prompts.

    Raises:
        Cancelled: `should_stop` said so between two tokens.
    """
    with torch.inference_mode():
        return _Batch(model, prompts, prediction, ending, draws, limits, reads).run(should_stop)


class _Batch:
    """Rows that are answered together. `live`: their numbers, in the order of the tensors."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        prediction: Prediction,
        ending: Ending,
        draws: Sequence[int],
        limits: Sequence[int],
        reads: Read,
    ) -> None:
        self._model, self._prediction, self._ending = model, prediction, ending
        self._reads = reads
        self._device = model.get_input_embeddings().weight.device
        width = max(len(prompt) for prompt in prompts)
        padded = [[ending.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        self._ids = torch.tensor(padded, device=self._device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
        self._mask = (torch.arange(width, device=self._device)[None] >= width - lengths[:, None]).long()
        self._width = width
        self._most = max(limits)
        self._limits = torch.tensor(limits, device=self._device)
        self._live = list(range(len(prompts)))
        self._ended = torch.zeros(len(prompts), dtype=torch.bool, device=self._device)
        self._answers: list[list[int]] = [[] for _ in prompts]
        self._cache = growing_cache(model)
        self._stops = torch.tensor(ending.ids, dtype=torch.long, device=self._device)
        self._chances = self._drawn(draws) if prediction.do_sample else None
        self._last_only = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
        self._processors = self._made_processors()

    def run(self, should_stop: Callable[[], bool]) -> list[list[int]]:
        began, most = time.monotonic(), self._most
        every = LOOK_EVERY["cuda" if self._device.type == "cuda" else "cpu"]
        for count in range(1, most + 1):
            if should_stop():
                raise Cancelled
            self._add(self._next())
            if count % every == 0 or count == most:
                self._let_go(texts=count % TEXT_EVERY == 0 or every > 1)
                if not self._live:
                    break
            if self._prediction.max_time and time.monotonic() - began >= self._prediction.max_time:
                break
        for place, row in enumerate(self._live):
            self._answers[row] = self._answer(place)
        return self._answers

    def _next(self) -> torch.Tensor:
        """The next token of each row, [B]."""
        if self._ids.shape[1] == self._width:
            logits = self._reads(self._model, self._ids, self._mask, self._cache, self._last_only)
        else:
            logits = self._model(
                input_ids=self._ids[:, -1:],
                attention_mask=self._mask,
                position_ids=self._mask.sum(-1, keepdim=True) - 1,
                past_key_values=self._cache,
                use_cache=True,
                **self._last_only,
            ).logits[:, -1]
        logits = self._processors(self._ids, logits.float())
        if self._chances is None:
            return logits.argmax(-1)
        chance = self._chances[:, self._ids.shape[1] - self._width, None]
        return drawn_at(logits.softmax(-1), chance)

    def _add(self, tokens: torch.Tensor) -> None:
        tokens = torch.where(self._ended, self._ending.pad_id, tokens)
        self._ids = torch.cat([self._ids, tokens[:, None]], 1)
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)[:, None]], 1)
        over = self._limits <= self._ids.shape[1] - self._width
        self._ended = self._ended | torch.isin(tokens, self._stops) | over

    def _let_go(self, *, texts: bool) -> None:
        """Note which rows have ended, and take them out once they are enough."""
        ended = self._ended.tolist()
        if texts and self._ending.has_text is not None:
            for place, over in enumerate(ended):
                ended[place] = over or self._ending.has_text(self._answer(place))
            self._ended = torch.tensor(ended, device=self._device)
        gone = sum(ended)
        if gone < len(ended) and (gone < DROP_SHARE * len(ended) or not can_drop_rows(self._cache)):
            return
        for place, row in enumerate(self._live):
            if ended[place]:
                self._answers[row] = self._answer(place)
        kept = [place for place, over in enumerate(ended) if not over]
        self._live = [self._live[place] for place in kept]
        if not kept:
            return
        chosen = torch.tensor(kept, device=self._device)
        self._ids, self._mask, self._ended = self._ids[chosen], self._mask[chosen], self._ended[chosen]
        self._limits = self._limits[chosen]
        if self._chances is not None:
            self._chances = self._chances[chosen]
        self._cache.batch_select_indices(chosen)

    def _answer(self, place: int) -> list[int]:
        """The tokens of a row's answer up to the one that ended it."""
        found: list[int] = self._ids[place, self._width :][: int(self._limits[place])].tolist()
        ends = (index for index, token in enumerate(found) if token in self._ending.ids)
        return found[: next(ends, len(found))]

    def _drawn(self, draws: Sequence[int]) -> torch.Tensor:
        """[B, longest answer]: a number in [0, 1) for each token to draw."""
        rows = [np.random.default_rng(seed).random(self._most, dtype=np.float32) for seed in draws]
        return torch.from_numpy(np.stack(rows)).to(self._device)

    def _made_processors(self) -> LogitsProcessorList:
        settings, made = self._prediction, LogitsProcessorList()
        if settings.repetition_penalty != 1:
            made.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
        if settings.min_length_inference and self._ending.ids:
            made.append(
                MinNewTokensLengthLogitsProcessor(
                    self._width, settings.min_length_inference, list(self._ending.ids), device=self._device
                )
            )
        if settings.do_sample:
            made.append(TemperatureLogitsWarper(settings.temperature))
            if settings.top_k:
                made.append(TopKLogitsWarper(settings.top_k))
            if settings.top_p < 1:
                made.append(TopPLogitsWarper(settings.top_p))
        return made


def drawn_at(chances: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """The token at `number` ([B, 1], in [0, 1)) of the summed chances ([B, V], each row sums to 1); [B]."""
    reached = chances.cumsum(-1)
    place = torch.searchsorted(reached, number * reached[:, -1:], right=True)
    return place.clamp(max=chances.shape[-1] - 1)[:, 0]
