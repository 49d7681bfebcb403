"""Finds the answers in a rendered conversation with one rendering, from a pattern made once for its row of roles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llm_studio.data.types import Conversation, Message

Span = tuple[int, int]
Spans = list[Span]
Render = Callable[[Conversation], str]
FindSpans = Callable[[Conversation], tuple[str, Spans]]
"""The rendered text of a conversation, and the spans of its answers; the thorough way, by several renderings."""
MOST_PATTERNS = 512


@dataclass(frozen=True)
class Pattern:
    """The text that a template writes between the messages of a row of roles, and where its answers lie in it.

    between: one text before each message and one behind the last. spans: for each answer the message it begins in,
    characters before that message's text, and characters behind the text of the message it ends in.
    """

    between: tuple[str, ...]
    spans: tuple[tuple[int, int, int, int], ...]

    def spans_in(self, text: str, messages: Sequence[Message]) -> Spans | None:
        """The answers in the text, or None when it is not the pattern with these messages in it, each as it is or
        without white space around it."""
        at = len(self.between[0])
        if not text.startswith(self.between[0]):
            return None
        begins, ends = [], []
        for message, after in zip(messages, self.between[1:], strict=True):
            content = message.content if text.startswith(message.content, at) else message.content.strip()
            if not text.startswith(content, at) or not text.startswith(after, at + len(content)):
                return None
            begins.append(at)
            ends.append(at + len(content))
            at += len(content) + len(after)
        if at != len(text):
            return None
        return [(begins[one] - before, ends[other] + behind) for one, before, other, behind in self.spans]


class Patterns:
    """The patterns of one template, made when a row of roles is first met.

    A template may treat a text in its own way (drop reasoning, escape it); such a conversation does not follow the
    pattern and is left to the thorough way.
    """

    def __init__(self) -> None:
        self._known: dict[Conversation, Pattern | None] = {}

    def find(self, conversation: Conversation, render: Render, thorough: FindSpans) -> tuple[str, Spans]:
        """The rendered text and its spans, the same as `thorough` finds.

        A pattern belongs to all that is rendered of the conversation but the texts of its messages.
        """
        empty = tuple([replace(message, content="") for message in conversation.messages])
        key = replace(conversation, row=0, messages=empty, rejected="")
        try:
            pattern = self._known[key]
        except KeyError:
            pattern = make_pattern(conversation, thorough)
            if len(self._known) >= MOST_PATTERNS:
                self._known.clear()
            self._known[key] = pattern
        if pattern is None:
            return thorough(conversation)
        text = render(conversation)
        spans = pattern.spans_in(text, conversation.messages)
        return thorough(conversation) if spans is None else (text, spans)


def make_pattern(conversation: Conversation, thorough: FindSpans) -> Pattern | None:
    """The pattern of a row of roles, from a rendering with marks as texts; None when the marks do not all stand in it
    once and in their order."""
    messages = conversation.messages
    marks = [f"\ue002{index}\ue003" for index in range(len(messages))]
    marked = tuple(replace(message, content=mark) for message, mark in zip(messages, marks, strict=True))
    text, spans = thorough(replace(conversation, messages=marked))
    places = [text.find(mark) for mark in marks]
    if -1 in places or places != sorted(places) or any(text.count(mark) != 1 for mark in marks):
        return None
    ends = [place + len(mark) for place, mark in zip(places, marks, strict=True)]
    between = [text[end:place] for end, place in zip([0, *ends], [*places, len(text)], strict=True)]
    found = []
    for start, end in spans:
        one = next((index for index, place in enumerate(places) if place >= start), None)
        other = next((index for index in reversed(range(len(ends))) if ends[index] <= end), None)
        if one is None or other is None or one > other or (one > 0 and start < ends[one - 1]):
            return None
        found.append((one, places[one] - start, other, end - ends[other]))
    return Pattern(tuple(between), tuple(found))
