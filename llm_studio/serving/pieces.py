"""Generated token ids as readable text while they come, and the end of generation on demand."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

UNTRUE_CHARACTER = "\ufffd"  # what decoding gives for a character of which not all bytes are there yet


class StopWhenSet(StoppingCriteria):  # type: ignore[misc]
    """Ends generation after the token at which an event was found set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), dtype=torch.bool, device=input_ids.device)


class Pieces(BaseStreamer):  # type: ignore[misc]
    """Turns generated ids into text as soon as it can be read, for another thread.

    transformers' own streamer waits for a space, so that JSON would come in one lump. Each piece is what decoding the
    ids since the last piece adds to the decoding of the piece before, which keeps leading spaces right in every
    tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ids: list[int] = []
        self._before, self._read = 0, 0
        self._prompt_is_next = True
        self.count = 0

    def put(self, value: torch.Tensor) -> None:
        """Called by generate: first with the prompt, then with each token."""
        if self._prompt_is_next:
            self._prompt_is_next = False
            return
        self._ids.extend(value.reshape(-1).tolist())
        self.count = len(self._ids)
        self._emit(whole=False)

    def end(self) -> None:
        """Called at the end, by generate or by the thread it ran in."""
        self._emit(whole=True)
        self._queue.put(None)

    def _emit(self, *, whole: bool) -> None:
        before = self._decoded(self._ids[self._before : self._read])
        text = self._decoded(self._ids[self._before :])
        if text.endswith(UNTRUE_CHARACTER) and not whole:
            return
        if len(text) > len(before):
            self._queue.put(text[len(before) :])
        self._before, self._read = self._read, len(self._ids)

    def _decoded(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def __iter__(self) -> Iterator[str]:
        while (piece := self._queue.get()) is not None:
            yield piece
