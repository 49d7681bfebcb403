"""Turns texts with known answers into token ids and token ranges, many at a time with all threads."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from llm_studio.data.types import Conversation
from llm_studio.tokens.spans import Span
from llm_studio.tokens.truncation import Encoded, Range

Item = TypeVar("Item")
PARALLELISM = "TOKENIZERS_PARALLELISM"
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 4_000_000
"""What is handed to the tokenizer at once at most: small blocks cost a fifth of the speed (measured), large ones cost
memory, and a user who stops waits for the end of one."""


def encode_texts(tokenizer: Any, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[Encoded]:
    """Each text as tokens, with the ranges of tokens that lie in its spans (sorted and apart)."""
    found = []
    for encoding, text, wanted in zip(_batch(tokenizer, texts, "encode_batch"), texts, spans, strict=True):
        ids = encoding.ids
        found.append(Encoded(tuple(ids), ranges_in(encoding, len(ids), len(text), wanted)))
    return found


def ids_of_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text: where no character offsets are needed, which saves a fifth of the time."""
    return [encoding.ids for encoding in _batch(tokenizer, texts, "encode_batch_fast")]


def _batch(tokenizer: Any, texts: Sequence[str], how: str) -> Iterator[Any]:
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    for block in blocks(texts, len):
        with all_threads():
            found = getattr(backend, how)(block, add_special_tokens=False)
        yield from found


def blocks(items: Iterable[Item], characters: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in lists of at most BLOCK_ROWS, and of no more than BLOCK_CHARACTERS where that is more than one."""
    block: list[Item] = []
    total = 0
    for item in items:
        size = characters(item)
        if block and (len(block) == BLOCK_ROWS or total + size > BLOCK_CHARACTERS):
            yield block
            block, total = [], 0
        block.append(item)
        total += size
    if block:
        yield block


def conversation_blocks(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    """Conversations in blocks, so that only one block's text and tokens are in memory at once."""
    return blocks(conversations, lambda one: sum(len(message.content) for message in one.messages))


@contextmanager
def all_threads() -> Iterator[None]:
    """Lets the tokenizer use its threads. Outside it stays as it was: a process that forks, as data loaders do, must
    not find them running."""
    before = os.environ.get(PARALLELISM)
    os.environ[PARALLELISM] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PARALLELISM]
        else:
            os.environ[PARALLELISM] = before


def ranges_in(encoding: Any, tokens: int, characters: int, spans: Sequence[Span]) -> tuple[Range, ...]:
    """The tokens [first, end) of each span, found without reading all offsets where a token stands at its edges."""
    found: list[Range] = []
    for start, end in spans:
        first = encoding.char_to_token(start)
        last = tokens if end >= characters else encoding.char_to_token(end)
        if first is None or last is None:  # white space that the tokenizer gives to no token
            return ranges_by_offsets(encoding.offsets, spans)
        while last < tokens and encoding.token_to_chars(last)[0] < end:
            last += 1
        found.append((first, last))
    return apart(found)


def ranges_by_offsets(offsets: Sequence[Span], spans: Sequence[Span]) -> tuple[Range, ...]:
    """The tokens [first, end) of each span, by the character offsets [T] of all tokens.

    A token belongs to a span when one of its characters does. Some tokenizers (Llama 3) do not count white space in
    front of a word, so that a token of white space alone has no width, at its end: it belongs to the span it ends in.
    """
    found: list[Range] = []
    for start, end in spans:
        inside = [index for index, (one, other) in enumerate(offsets) if other > start and (one < end or other <= end)]
        if inside:
            found.append((inside[0], inside[-1] + 1))
    return apart(found)


def apart(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Ranges in order, none reaching into the one before; a token on two edges belongs to the first."""
    found: list[Range] = []
    for start, end in ranges:
        start = max(start, found[-1][1] if found else 0)
        if end > start:
            found.append((start, end))
    return tuple(found)
