"""Renders conversations with a chat template and finds, in the rendered text, the characters that are learned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jinja2 import TemplateError

from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.tokens.choosing import Source
from llm_studio.tokens.encoding import encode_texts, ids_of_texts, ranges_by_offsets
from llm_studio.tokens.markers import NewToken
from llm_studio.tokens.sample import Sample
from llm_studio.tokens.spans import Patterns, Span
from llm_studio.tokens.tools import (
    NOTHING,
    Knowledge,
    as_template_takes,
    in_words,
)
from llm_studio.tokens.truncation import Encoded, Limit, Truncation
from llm_studio.tokens.turns import folded, merged, way_out

MARK = "\ue000answer\ue001"
"""Stands in for an answer; characters of the private use area, so that no text holds it by chance."""
PROBE = (Message("user", "a"), Message("assistant", MARK, learned=True))


@dataclass(frozen=True)
class Template:
    """A tokenizer with its chat template.

    source says where the template comes from, `reason` why. stop_ids end an answer; stop_texts cut one that goes on.
    end_of_turn: the text that the template puts behind an answer, empty when it puts none. Templates that know a
    thinking mode are used without it: the data holds answers, and generation must begin as the training did.
    knows: what of tools the template writes; the rest becomes JSON text in the messages, so that it is never lost.
    new_tokens: markers that were made tokens, and which the backbone does not know yet.
    """

    tokenizer: Any
    source: Source
    reason: str
    max_length: int
    truncation: Truncation = "oldest_turns"
    truncation_side: Literal["left", "right"] = "left"
    keep_rows: bool = False
    fold_system: bool = False
    merge_turns: bool = False
    learn_prompts: bool = False
    only_last_answer: bool = False
    stop_texts: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    end_of_turn: str = ""
    pad_id: int = 0
    knows: Knowledge = NOTHING
    new_tokens: tuple[NewToken, ...] = ()
    _special: frozenset[str] = field(default=frozenset(), repr=False)
    _patterns: Patterns = field(init=False, default_factory=Patterns, repr=False, compare=False)

    def text(
        self,
        messages: Sequence[Message],
        *,
        tools: str = "",
        plain: bool = False,
        add_generation_prompt: bool = False,
        row: int | None = None,
    ) -> str:
        """The conversation as the model reads it. tools: JSON text of schemas. plain: a document, without the template.

        Raises:
            UserError: the template refuses it.
        """
        if plain:
            end = "" if add_generation_prompt else self._token("eos_token")
            return self._token("bos_token") + "".join(message.content for message in messages) + end
        said = in_words(self.reshaped(messages), tools, self.knows)
        more = {"tools": json.loads(tools)} if tools and self.knows.tools else {}
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [as_template_takes(message) for message in said],
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    enable_thinking=False,
                    **more,
                )
            )
        except (TemplateError, TypeError) as error:
            reason = str(getattr(error, "message", None) or error).rstrip(".")
            raise UserError(
                f"The backbone's chat template refuses this conversation: {reason}.",
                where="chat" if row is None else f"row {row + 1} of the data set",
                fix=way_out(messages),
            ) from error

    def reshaped(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages as the template gets them: system messages folded and neighbours merged, where so set."""
        found = folded(messages) if self.fold_system else tuple(messages)
        return merged(found) if self.merge_turns else found

    def _token(self, name: str) -> str:
        """The text of a special token, empty where the tokenizer has none."""
        return str(getattr(self.tokenizer, name, None) or "")

    def prompt_ids(
        self, messages: Sequence[Message], *, tools: str = "", plain: bool = False, row: int | None = None
    ) -> list[int]:
        """Token ids of a conversation that waits for its answer, none of them cut.

        Raises:
            UserError: the template refuses it.
        """
        text = self.text(messages, tools=tools, plain=plain, add_generation_prompt=True, row=row)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def learned_spans(
        self, messages: Sequence[Message], *, tools: str = "", plain: bool = False, row: int | None = None
    ) -> tuple[str, list[Span]]:
        """The rendered text, and the character spans of its answers with their end-of-turn token.

        Of a document all is learned, with the end-of-text token and without the one that begins a text.

        Raises:
            UserError: the template refuses it.
        """
        messages = self.reshaped(messages)
        whole = self.text(messages, tools=tools, plain=plain, row=row)
        if plain:
            learned = any(message.learned for message in messages)
            return whole, [(len(self._token("bos_token")), len(whole))] if learned else []
        spans: list[Span] = []
        wanted = [index for index, message in enumerate(messages) if message.role == "assistant" and message.learned]
        for index in wanted[-1:] if self.only_last_answer else wanted:
            start, end = self._answer_span(messages, index, whole, tools, row)
            start = max(start, spans[-1][1] if spans else 0)
            if end > start:
                spans.append((start, end))
        return whole, spans

    def _answer_span(self, messages: Sequence[Message], index: int, whole: str, tools: str, row: int | None) -> Span:
        """Where an answer and its end of turn stand in the whole text.

        It begins where the text up to its prompt, with the generation prompt, ends: what the model sees before it
        answers. Some templates write a turn otherwise once others follow (they drop its reasoning, or move the system
        message); the place is then found by rendering the conversation with a mark in the answer's stead.
        """
        before = self.text(messages[:index], tools=tools, add_generation_prompt=True, row=row) if index else ""
        last = index == len(messages) - 1
        through = whole if last else self.text(messages[: index + 1], tools=tools, row=row)
        if before and whole.startswith(before) and whole.startswith(through) and len(through) > len(before):
            return len(before), self.without_white_end(whole, len(before), len(through))
        marker = replace(messages[index], content=MARK, tool_calls="")
        marked = self.text((*messages[:index], marker, *messages[index + 1 :]), tools=tools, row=row)
        head, _, tail = marked.partition(MARK)
        start = common_length(head, whole)
        end = len(whole) - common_length(tail[::-1], whole[start:][::-1])
        if before and whole.startswith(before):
            start = len(before)
        return start, end + (len(self.end_of_turn) if whole.startswith(self.end_of_turn, end) else 0)

    def encode(self, conversation: Conversation) -> Sample:
        """The conversation as tokens; labels come from character offsets of the rendered text.

        Raises:
            UserError: the template refuses it.
        """
        return self.limit.fit(conversation, self.whole(conversation), self.whole)

    def whole(self, conversation: Conversation) -> Encoded:
        """The conversation as tokens, however many they are.

        Raises:
            UserError: the template refuses it.
        """
        text, spans = self.rendered(conversation)
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Encoded(tuple(encoding["input_ids"]), ranges_by_offsets(encoding["offset_mapping"], spans))

    @property
    def limit(self) -> Limit:
        """What happens to rows that are too long."""
        return Limit(self.max_length, self.truncation, self.truncation_side, self.learn_prompts, self.keep_rows)

    @property
    def special_texts(self) -> frozenset[str]:
        """Texts of special and added tokens, and what ends a turn in the chosen format."""
        return self._special

    def for_scoring(self) -> "Template":
        """The same for rows that are only scored: none is left out, and what is cut is cut at the beginning."""
        return replace(self, truncation="oldest_turns", keep_rows=True)

    def encode_many(self, conversations: Sequence[Conversation]) -> list[Sample]:
        """The same as `encode` for each, in one go: one rendering a row, all threads of the tokenizer.

        Raises:
            UserError: the template refuses one.
        """
        limit = self.limit
        wholes = self.whole_many(conversations)
        return [limit.fit(one, whole, self.whole) for one, whole in zip(conversations, wholes, strict=True)]

    def whole_many(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        """The same as `whole` for each, in one go.

        Raises:
            UserError: the template refuses one.
        """
        found = [
            self._patterns.find(replace(one, messages=self.reshaped(one.messages)), self.text_of, self.rendered)
            for one in conversations
        ]
        return encode_texts(self.tokenizer, [text for text, _ in found], [spans for _, spans in found])

    def ids_many(
        self, conversations: Sequence[Conversation], *, add_generation_prompt: bool = False
    ) -> list[list[int]]:
        """Token ids alone of each conversation, none of them cut.

        Raises:
            UserError: the template refuses one.
        """
        texts = [self.text_of(one, add_generation_prompt=add_generation_prompt) for one in conversations]
        return ids_of_texts(self.tokenizer, texts)

    def text_of(self, conversation: Conversation, *, add_generation_prompt: bool = False) -> str:
        """`text` of a row of the data set, with all that the row holds.

        Raises:
            UserError: the template refuses it.
        """
        return self.text(
            conversation.messages,
            tools=conversation.tools,
            plain=conversation.plain,
            add_generation_prompt=add_generation_prompt,
            row=conversation.row,
        )

    def rendered(self, conversation: Conversation) -> tuple[str, list[Span]]:
        """`learned_spans` of a row of the data set, with all that the row holds.

        Raises:
            UserError: the template refuses it.
        """
        return self.learned_spans(
            conversation.messages, tools=conversation.tools, plain=conversation.plain, row=conversation.row
        )

    def without_white_end(self, text: str, start: int, end: int) -> int:
        """The end of a stretch; leaves out white space that only follows the end-of-turn token."""
        stripped = start + len(text[start:end].rstrip())
        return stripped if any(text[start:stripped].endswith(special) for special in self._special) else end


def common_length(one: Sequence[object], other: Sequence[object]) -> int:
    """How many characters two texts, or two rows of tokens, have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))
