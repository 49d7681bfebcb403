"""Draws answers token by token for many rows at once; rows that have ended leave, and waiting ones may join.

Our own loop and not `model.generate`, which copies the whole cache for each token, keeps rows that have ended, and
takes several milliseconds a token for bookkeeping, as long as a small model computes. Its processors are used as they
are; beams are left to it. Rows that join while others go on: continuous batching, Yu et al. 2022, Orca (OSDI '22).
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm_studio.config.prediction import Prediction
from llm_studio.errors import Cancelled
from llm_studio.modeling.answering import Answering, Asked
from llm_studio.modeling.attention import takes_logits_to_keep
from llm_studio.modeling.key_value_cache import can_drop_rows, growing_cache, only_grows
from llm_studio.modeling.prefill import Read, read
from llm_studio.modeling.unasked_mask import unasked_mask

LOOK_EVERY = {"cpu": 1, "cuda": 8}
"""Tokens between two looks at which rows have ended; on a GPU each look waits for the device."""
TEXT_EVERY = 8
"""Tokens between two looks for stop texts; what is drawn too much is cut off afterwards."""
DROP_SHARE = 0.15
"""Rows that have ended leave, and others join, when their places are this share of all."""
JOIN_ON = {"cuda"}
"""Where waiting rows join others. On a GPU a token of many rows takes hardly longer than one of few, so that batches
that stay full need fewer steps (not yet measured: `make bench-gpu` does). On a CPU a step takes as long as there are
rows, and those that join are laid beside the others anew: 0.88 to 0.95 of the tokens per second of batches that begin
together (`make bench ARGS=evaluation`)."""


@dataclass(frozen=True)
class Ending:
    """What ends an answer. ids: tokens. texts: of the answer so far says whether it holds a stop text."""

    ids: tuple[int, ...]
    has_text: Callable[[Sequence[int]], bool] | None
    pad_id: int


def decode(
    model: Any,
    asked: Sequence[Asked],
    prediction: Prediction,
    ending: Ending,
    *,
    at_once: Callable[[int], int],
    answered: Callable[[int, list[int]], None],
    should_stop: Callable[[], bool] = lambda: False,
    reading: Callable[[Sequence[int]], Read] = lambda numbers: read,
) -> None:
    """Answers the rows, taken in their order.

    at_once: how many rows are answered together when the widest of them has so many tokens, at least 1. answered: told
    the number of a row that has ended, and the tokens of its answer without the one that ended it. reading: what reads
    the prompts of the rows with these numbers.

    Raises:
        Cancelled: `should_stop` said so between two tokens.
    """
    with torch.inference_mode(), unasked_mask(model):
        _Decoder(model, asked, prediction, ending, at_once, answered, reading).run(should_stop)


def joins(model: Any, prediction: Prediction) -> bool:
    """Whether waiting rows join others, on devices of `JOIN_ON`: where all layers keep keys and values of all tokens,
    and no limit of time asks for batches that begin together."""
    wanted = model.device.type in JOIN_ON and prediction.num_beams == 1 and not prediction.max_time
    return wanted and only_grows(growing_cache(model))


class _Decoder:
    """waiting: rows that have no place yet. now: those that are being answered; None when there are none."""

    def __init__(
        self,
        model: Any,
        asked: Sequence[Asked],
        prediction: Prediction,
        ending: Ending,
        at_once: Callable[[int], int],
        answered: Callable[[int, list[int]], None],
        reading: Callable[[Sequence[int]], Read],
    ) -> None:
        self._model, self._prediction, self._ending = model, prediction, ending
        self._at_once, self._answered, self._reading = at_once, answered, reading
        self._device = model.get_input_embeddings().weight.device
        self._waiting = deque(asked)
        self._joins = joins(model, prediction)
        self._now: Answering | None = None
        self._began = 0.0
        self._stops = torch.tensor(ending.ids, dtype=torch.long, device=self._device)
        self._last_only = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
        self._warpers = warpers_of(prediction)
        self._longest = max((row.limit for row in asked), default=0) if prediction.do_sample else 0

    def run(self, should_stop: Callable[[], bool]) -> None:
        every = LOOK_EVERY["cuda" if self._device.type == "cuda" else "cpu"]
        count = 0
        while self._now is not None or self._waiting:
            if should_stop():
                raise Cancelled
            if self._now is None:
                self._began, count = time.monotonic(), 1
                self._now = self._joining(self._places(0))
            else:
                count += 1
                self._add(self._now, self._step(self._now))
            limit = self._prediction.max_time
            over = bool(limit) and time.monotonic() - self._began >= limit
            if over or count % every == 0 or self._now.at_their_limits:
                self._look(self._now, over=over, texts=every > 1 or count % TEXT_EVERY == 0)

    def _places(self, taken: int, width: int = 0) -> int:
        """How many waiting rows find a place beside so many others, the widest of which has `width` tokens."""
        most = self._at_once(max(width, max((len(row.prompt) for row in self._waiting), default=0)))
        return max(0, min(len(self._waiting), most - taken))

    def _joining(self, rows: int) -> Answering:
        """The next waiting rows, each with its first token."""
        asked = [self._waiting.popleft() for _ in range(rows)]
        made = Answering(
            asked,
            growing_cache(self._model),
            pad_id=self._ending.pad_id,
            device=self._device,
            chances=self._longest,
        )
        reads = self._reading([row.number for row in asked])
        self._add(made, reads(self._model, made.ids, made.mask, made.cache, self._last_only))
        return made

    def _step(self, rows: Answering) -> torch.Tensor:
        """Logits of each row's next token, [B, V]."""
        logits: torch.Tensor = self._model(
            input_ids=rows.ids[:, -1:],
            attention_mask=rows.mask,
            position_ids=rows.positions,
            past_key_values=rows.cache,
            use_cache=True,
            **self._last_only,
        ).logits[:, -1]
        return logits

    def _add(self, rows: Answering, logits: torch.Tensor) -> None:
        """Draw a token for each row. logits: [B, V]."""
        logits, settings = logits.float(), self._prediction
        if settings.repetition_penalty != 1:
            logits = RepetitionPenaltyLogitsProcessor(settings.repetition_penalty)(rows.seen, logits)
        if settings.min_length_inference and len(self._stops):
            early = rows.drawn < settings.min_length_inference
            logits[:, self._stops] = logits[:, self._stops].masked_fill(early[:, None], -torch.inf)
        logits = self._warpers(rows.ids, logits)
        if settings.do_sample:
            tokens = drawn_at(logits.softmax(-1), rows.chances.gather(1, rows.drawn[:, None]))
        else:
            tokens = logits.argmax(-1)
        rows.add(tokens, self._stops)

    def _look(self, rows: Answering, *, over: bool, texts: bool) -> None:
        """Note which rows have ended; once they are enough, tell their answers and give their places to waiting rows.

        over: all end, since their time is up. texts: whether to look for stop texts.
        """
        ended = [True] * len(rows) if over else rows.ended.tolist()
        if texts and self._ending.has_text is not None:
            for place, done in enumerate(ended):
                ended[place] = done or self._ending.has_text(rows.answer(place, self._ending.ids))
            rows.ended = torch.tensor(ended, device=self._device)
        gone, everyone = sum(ended), all(ended)
        if not everyone and (gone < DROP_SHARE * len(rows) or not can_drop_rows(rows.cache)):
            return
        for place, done in enumerate(ended):
            if done:
                self._answered(rows.rows[place].number, rows.answer(place, self._ending.ids))
        if everyone:
            self._now = None
            return
        kept = [place for place, done in enumerate(ended) if not done]
        places = self._places(len(kept), max(rows.tokens[place] for place in kept)) if self._joins else 0
        rows.keep(kept, *([self._joining(places)] if places else ()))


def warpers_of(settings: Prediction) -> LogitsProcessorList:
    """What changes the chances of tokens that are drawn."""
    made = LogitsProcessorList()
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
