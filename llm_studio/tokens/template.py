"""Renders conversations with a chat template and finds, in the rendered text, the characters that are learned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jinja2 import TemplateError

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.tokens.markers import markers_template
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.tools import (
    EVERYTHING,
    NOTHING,
    PROBE_CALL,
    PROBE_NAME,
    PROBE_RESULT,
    PROBE_TOOLS,
    Knowledge,
    as_template_takes,
    in_words,
)

Span = tuple[int, int]
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
    """

    tokenizer: Any
    source: Literal["backbone", "markers"]
    reason: str
    max_length: int
    truncation_side: Literal["left", "right"] = "left"
    learn_prompts: bool = False
    only_last_answer: bool = False
    stop_texts: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    end_of_turn: str = ""
    pad_id: int = 0
    knows: Knowledge = NOTHING
    _special: frozenset[str] = field(default=frozenset(), repr=False)

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
        said = in_words(messages, tools, self.knows)
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
                fix="Correct the roles of its messages, leave out the system message, or set dataset.chat_template to "
                "markers.",
            ) from error

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
            return len(before), self._without_white_end(whole, len(before), len(through))
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
        text, spans = self.learned_spans(
            conversation.messages, tools=conversation.tools, plain=conversation.plain, row=conversation.row
        )
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = list(encoding["input_ids"])
        answers = answer_labels(ids, encoding["offset_mapping"], spans)
        labels = [IGNORE_INDEX, *ids[1:]] if self.learn_prompts else answers
        cut = max(0, len(ids) - self.max_length)
        keep = slice(cut, None) if self.truncation_side == "left" else slice(0, self.max_length)
        return Sample(
            row=conversation.row,
            input_ids=tuple(ids[keep]),
            labels=_never_first(labels[keep]),
            answer_labels=_never_first(answers[keep]),
            cut_tokens=cut,
        )

    def _without_white_end(self, text: str, start: int, end: int) -> int:
        """Leaves out white space that only follows the end-of-turn token."""
        stripped = start + len(text[start:end].rstrip())
        return stripped if any(text[start:stripped].endswith(special) for special in self._special) else end


def answer_labels(ids: Sequence[int], offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Labels [T]: the token where its characters lie in a span, else IGNORE_INDEX. Spans are sorted and apart."""
    labels = [IGNORE_INDEX] * len(ids)
    current = 0
    for index, (start, end) in enumerate(offsets):
        while current < len(spans) and start >= spans[current][1]:
            current += 1
        if current < len(spans) and end > start and end > spans[current][0] and start < spans[current][1]:
            labels[index] = ids[index]
    return labels


def common_length(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))


def _never_first(labels: Sequence[int]) -> tuple[int, ...]:
    return (IGNORE_INDEX, *labels[1:]) if labels else ()


def make_template(tokenizer: Any, config: ExperimentConfig) -> Template:
    """The template of an experiment; sets the tokenizer's chat template when markers are used.

    Raises:
        UserError: the tokenizer cannot tell which characters a token came from, or has no end-of-text token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "This backbone's tokenizer cannot tell which characters a token came from.",
            where=config.llm_backbone,
            fix="Choose a backbone that comes with a tokenizer.json.",
        )
    settings = config.dataset
    own = tokenizer.chat_template
    first = tokenizer("a")["input_ids"][:1]
    bos = tokenizer.bos_token if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id] else ""
    markers = markers_template(settings, eos_token=tokenizer.eos_token or "", bos_token=bos or "")
    if settings.chat_template == "markers" or not own or own == markers:  # a checkpoint's tokenizer has them already
        source: Literal["backbone", "markers"] = "markers"
        asked = settings.chat_template == "markers"
        reason = "the settings ask for them" if asked else "the backbone brings no chat template"
        tokenizer.chat_template = markers
        stops = (settings.text_system_start, settings.text_prompt_start, settings.text_answer_separator)
    else:
        source, reason, stops = "backbone", "it brings one", ("", "", "")
    pad = next(
        (one for one in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id) if one is not None), 0
    )
    extra = tuple(text for text in config.prediction.stop_tokens.split(",") if text)
    template = Template(
        tokenizer=tokenizer,
        source=source,
        reason=reason,
        max_length=config.tokenizer.max_length,
        truncation_side=config.tokenizer.truncation_side,
        learn_prompts=not settings.mask_prompt_labels,
        only_last_answer=settings.only_last_answer,
        stop_texts=tuple(dict.fromkeys(text for text in (*stops, *extra) if text.strip())),
        pad_id=int(pad),
    )
    special = {*tokenizer.all_special_tokens, *(str(token) for token in tokenizer.added_tokens_decoder.values())}
    template = replace(
        template,
        _special=frozenset(text for text in special if text.strip()),
        knows=Knowledge(
            tools=_writes(template, PROBE_NAME, PROBE, PROBE_TOOLS),
            calls=_writes(template, PROBE_NAME, PROBE_CALL),
            results=_writes(template, PROBE_RESULT[2].content, PROBE_RESULT),
        ),
    )
    end = _end_of_turn(template)
    return replace(template, end_of_turn=end, stop_ids=_stop_ids(template, end))


def _writes(template: Template, words: str, messages: Sequence[Message], tools: str = "") -> bool:
    """Whether the chat template writes the words of a probe."""
    try:
        return words in replace(template, knows=EVERYTHING).text(messages, tools=tools)
    except (UserError, ValueError, KeyError, AttributeError):  # what a template may raise over a member it lacks
        return False


def _end_of_turn(template: Template) -> str:
    """What follows an answer at the end of a conversation, without white space behind its special token."""
    text = template.text(PROBE)
    start = text.find(MARK) + len(MARK)
    return text[start : template._without_white_end(text, start, len(text))] if start >= len(MARK) else ""


def _stop_ids(template: Template, end_of_turn: str) -> tuple[int, ...]:
    """The end-of-text token, and the special token that the template puts behind an answer."""
    tokenizer = template.tokenizer
    found = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    tail = tokenizer(end_of_turn, add_special_tokens=False)["input_ids"] if end_of_turn else []
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return tuple(dict.fromkeys([*found, *[int(token) for token in tail if token in special][:1]]))
