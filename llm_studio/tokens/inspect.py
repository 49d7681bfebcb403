"""Shows one conversation as the model gets it: each token with its text, and whether it is learned, special or cut."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from llm_studio.data.types import Conversation
from llm_studio.errors import UserError
from llm_studio.tokens.encoding import ranges_by_offsets
from llm_studio.tokens.inspect_words import warnings_for
from llm_studio.tokens.sample import IGNORE_INDEX, Outcome, Sample
from llm_studio.tokens.spans import Span, Spans
from llm_studio.tokens.template import Template, common_length


@dataclass(frozen=True)
class TokenPiece:
    """One token. start, end: its characters in the rendered text, white space in front of it included.

    text: these characters. Byte-level tokens may hold only some bytes of a character: `parts` neighbours then share
    their characters, and this is number `part` of them, from 1. truncated: taken away by the length limit, so that the
    model never sees it. learned: counts in the loss. end_of_turn: belongs to what ends a learned answer.
    """

    id: int
    text: str
    start: int
    end: int
    part: int = 1
    parts: int = 1
    learned: bool = False
    special: bool = False
    truncated: bool = False
    end_of_turn: bool = False

    @property
    def shown(self) -> str:
        """The text for a reader; which part of it, where it is no whole character."""
        return self.text if self.parts == 1 else f"{self.text} {self.part}/{self.parts}"


@dataclass(frozen=True)
class TokenView:
    """One row as the model gets it. row counts from 0; learned_share: learned tokens of those kept, in [0, 1].

    ends: places in `tokens` where a learned end of turn stands. complete: whether `text` and `tokens` hold the whole
    conversation; a template that writes a shortened one otherwise leaves only what is kept to be shown.
    """

    row: int
    text: str
    tokens: tuple[TokenPiece, ...]
    outcome: Outcome
    total_tokens: int
    kept_tokens: int
    learned_tokens: int
    learned_share: float
    ends: tuple[int, ...]
    warnings: tuple[str, ...]
    complete: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For JSON; each token with what is shown of it."""
        tokens = [{**asdict(token), "shown": token.shown} for token in self.tokens]
        return {**asdict(replace(self, tokens=())), "tokens": tokens}


def inspect_conversation(template: Template, conversation: Conversation) -> TokenView:
    """What becomes of a conversation.

    Raises:
        UserError: the template refuses it.
    """
    sample = template.encode(conversation)
    text, spans = template.rendered(conversation)
    ids, offsets = _encoded(template, text)
    total = len(ids)
    kept = kept_places(template, conversation, ids, offsets, sample)
    complete = kept is not None
    if kept is None:
        text, ids, offsets, spans = _as_kept(template, sample)
        kept = range(len(ids))
    pieces = _pieces(template, text, ids, offsets)
    ends = _ends(template, text, offsets, ids, spans)
    for place in set(range(len(pieces))) - set(kept):
        pieces[place] = replace(pieces[place], truncated=True)
    for place, label in zip(kept, sample.labels, strict=True):
        if label != IGNORE_INDEX:
            pieces[place] = replace(pieces[place], learned=True, end_of_turn=place in ends)
    learned = sample.learned_tokens
    view = TokenView(
        row=conversation.row,
        text=text,
        tokens=tuple(pieces),
        outcome=sample.outcome,
        total_tokens=total,
        kept_tokens=len(sample.input_ids),
        learned_tokens=learned,
        learned_share=learned / len(sample.input_ids) if sample.input_ids else 0.0,
        ends=tuple(place for place, piece in enumerate(pieces) if piece.end_of_turn),
        warnings=(),
        complete=complete,
    )
    words = warnings_for(
        template, conversation, sample, total_tokens=total, learns_an_end=bool(view.ends), complete=complete
    )
    return replace(view, warnings=tuple(words))


def kept_places(
    template: Template, conversation: Conversation, ids: Sequence[int], offsets: Sequence[Span], sample: Sample
) -> Sequence[int] | None:
    """Which tokens of the whole conversation the sample holds; None when it is not the whole with one stretch removed.

    Several stretches can be the removed one, where what is kept begins as what is not; the one nearest to the end of
    the system message is taken.
    """
    size, gone = len(sample.input_ids), len(ids) - len(sample.input_ids)
    if size == 0 or gone == 0:
        return range(size)
    if sample.outcome == "cut":
        begins = conversation.plain and template.truncation == "oldest_turns"  # of a document the beginning is kept
        left = not begins and (template.truncation_side == "left" or template.keep_rows)
        kept = range(gone, len(ids)) if left else range(size)
        return kept if tuple(ids[place] for place in kept) == sample.input_ids else None
    most = common_length(ids, sample.input_ids)
    least = size - common_length(ids[::-1], sample.input_ids[::-1])
    if least > most:
        return None
    place = _end_of_system(template, conversation)
    begin = min(range(least, most + 1), key=lambda one: abs((offsets[one][0] if one < len(offsets) else 0) - place))
    return [*range(begin), *range(begin + gone, len(ids))]


def _end_of_system(template: Template, conversation: Conversation) -> int:
    """Characters of the rendered system messages at the beginning, 0 without any."""
    messages = conversation.messages
    count = next((index for index, one in enumerate(messages) if one.role != "system"), len(messages))
    try:
        return len(template.text_of(replace(conversation, messages=messages[:count]))) if count else 0
    except UserError:
        return 0


def _encoded(template: Template, text: str) -> tuple[list[int], list[Span]]:
    encoding = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoding["input_ids"]), list(encoding["offset_mapping"])


def _as_kept(template: Template, sample: Sample) -> tuple[str, list[int], list[Span], Spans]:
    """Text, ids and offsets of the kept tokens by themselves; their learned stretches as the spans."""
    ids = list(sample.input_ids)
    ends = [len(template.tokenizer.decode(ids[: index + 1])) for index in range(len(ids))]
    offsets = list(zip([0, *ends], ends, strict=False))
    spans: Spans = []
    for offset, label in zip(offsets, sample.answer_labels, strict=True):
        if label != IGNORE_INDEX:
            joins = bool(spans) and spans[-1][1] == offset[0]
            spans[-1:] = [(spans[-1][0], offset[1])] if joins else [*spans[-1:], offset]
    return template.tokenizer.decode(ids), ids, offsets, spans


def _ends(template: Template, text: str, offsets: Sequence[Span], ids: Sequence[int], spans: Spans) -> set[int]:
    """Places of the tokens that end an answer: by the template's end of turn, or by a token that stops generation."""
    mark = template.end_of_turn
    ends = [(end - len(mark), end) for start, end in spans if mark and text[start:end].endswith(mark)]
    found = {place for first, last in ranges_by_offsets(offsets, ends) for place in range(first, last)}
    last = {stop - 1 for _, stop in ranges_by_offsets(offsets, spans)}
    return found | {place for place in last if ids[place] in template.stop_ids}


def _pieces(template: Template, text: str, ids: Sequence[int], offsets: Sequence[Span]) -> list[TokenPiece]:
    tokenizer = template.tokenizer
    special = set(tokenizer.all_special_ids)
    special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    pieces: list[TokenPiece] = []
    before = 0
    for number, (start, end) in zip(ids, offsets, strict=True):
        if before < start and text[before:start].isspace():
            start = before  # white space that the tokenizer does not count
        shown = text[start:end] or str(tokenizer.convert_ids_to_tokens(number))
        pieces.append(TokenPiece(int(number), shown, int(start), int(end), special=number in special))
        before = max(before, end)
    return _numbered(pieces)


def _numbered(pieces: list[TokenPiece]) -> list[TokenPiece]:
    """With part and parts, where neighbours share characters."""
    begin = 0
    for place in range(1, len(pieces) + 1):
        if place < len(pieces) and pieces[place].start < pieces[place - 1].end:
            continue
        for number in range(begin, place):
            pieces[number] = replace(pieces[number], part=number - begin + 1, parts=place - begin)
        begin = place
    return pieces
