"""Tools, tool calls and their results reach the model with any template, and documents come without chat markers."""

import json
from dataclasses import replace
from typing import Any

import pytest
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.evaluation.scoring import make_questions
from llm_studio.starter import BACKBONE
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template
from llm_studio.tokens.tools import EVERYTHING, Knowledge

WITH_TOOLS = (
    "{%- if tools %}<|system|>Tools:{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|end|>{% endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}<|user|>result: {{ message.content }}<|end|>"
    "{%- elif message.role == 'assistant' %}<|assistant|>{{ message.content }}"
    "{%- for call in message.tool_calls or [] %}<call>{{ call.function.name }} {{ call.function.arguments | tojson }}"
    "</call>{% endfor %}<|end|>"
    "{%- else %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}"
    "{%- endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ONLY_USER_AND_ASSISTANT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] + '<|end|>' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CALLS = json.dumps([{"type": "function", "function": {"name": "rain", "arguments": '{"place": "Ulm"}'}}])
TOOLS = json.dumps([{"type": "function", "function": {"name": "rain", "parameters": {"type": "object"}}}])
TALK = (
    Message("user", "Rain?"),
    Message("assistant", "", learned=True, tool_calls=CALLS),
    Message("tool", "dry", name="rain", tool_call_id="1"),
    Message("assistant", "No.", learned=True),
)


def made(jinja: str | None = None, **changes: Any) -> Template:
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    tokenizer.chat_template = jinja or tokenizer.chat_template
    return make_template(tokenizer, make_config(changes))


def learned_text(template: Template, conversation: Conversation) -> str:
    labels = template.encode(conversation).labels
    return str(template.tokenizer.decode([label for label in labels if label != IGNORE_INDEX]))


def test_a_template_that_knows_tools_gets_them_with_arguments_as_objects() -> None:
    template = made(WITH_TOOLS)
    assert template.knows == EVERYTHING
    text = template.text(TALK, tools=TOOLS)
    assert text.startswith('<|system|>Tools:{"type": "function", "function": {"name": "rain"')
    assert '<|assistant|><call>rain {"place": "Ulm"}</call><|end|><|user|>result: dry<|end|>' in text


def test_a_tool_call_is_learned_with_its_end_of_turn_and_its_result_is_not() -> None:
    conversation = Conversation(0, TALK, tools=TOOLS)
    assert learned_text(made(WITH_TOOLS), conversation) == '<call>rain {"place": "Ulm"}</call><|end|>No.<|end|>'


def test_a_tool_call_is_learned_whole_where_the_template_rewrites_earlier_turns() -> None:
    rewriting = "{% if messages | length > 2 %}{{ '<|system|>long<|end|>' }}{% endif %}" + WITH_TOOLS
    learned = learned_text(made(rewriting), Conversation(0, TALK, tools=TOOLS))
    assert learned == '<call>rain {"place": "Ulm"}</call><|end|>No.<|end|>'


@pytest.mark.parametrize("changes", [{}, {"dataset.chat_template": "markers"}], ids=["starter", "markers"])
def test_a_template_without_tools_gets_them_as_text(changes: dict[str, Any]) -> None:
    template = made(**changes)
    assert template.knows == Knowledge(results=True)
    text = template.text(TALK, tools=TOOLS)
    assert TOOLS in text and CALLS in text and "dry" in text
    assert text.index(TOOLS) < text.index("Rain?")
    assert learned_text(template, Conversation(0, TALK, tools=TOOLS)) == f"{CALLS}<|end|>No.<|end|>"


def test_tools_stand_behind_the_system_message_that_there_is() -> None:
    text = made().text((Message("system", "Be brief."), *TALK), tools=TOOLS)
    assert text.startswith(f"<|system|>Be brief.\n\nYou may call these tools:\n{TOOLS}<|end|><|user|>Rain?")


def test_a_result_that_the_template_would_drop_is_said_by_the_user() -> None:
    template = made(ONLY_USER_AND_ASSISTANT)
    assert not template.knows.results
    assert "<|user|>dry<|end|>" in template.text(TALK)


def test_messages_without_tools_are_rendered_as_before() -> None:
    plain = (Message("user", "How many?"), Message("assistant", "37", learned=True))
    assert made(WITH_TOOLS).text(plain) == made().text(plain) == "<|user|>How many?<|end|><|assistant|>37<|end|>"


def document(text: str) -> Conversation:
    return Conversation(0, (Message("assistant", text, learned=True),), plain=True)


@pytest.mark.parametrize("changes", [{}, {"dataset.chat_template": "markers"}], ids=["starter", "markers"])
def test_a_document_is_text_and_end_token_and_learned_but_for_its_first_token(changes: dict[str, Any]) -> None:
    template = made(**changes)
    sample = template.encode(document("Once upon a time"))
    assert template.tokenizer.decode(sample.input_ids) == "Once upon a time<|end|>"
    assert sample.labels == (IGNORE_INDEX, *sample.input_ids[1:]) == sample.answer_labels


def test_a_document_begins_with_the_begin_token_where_there_is_one() -> None:
    template = made()
    template.tokenizer.add_special_tokens({"bos_token": "<s>"})
    sample = template.encode(document("Once"))
    assert template.tokenizer.decode(sample.input_ids) == "<s>Once<|end|>"
    assert learned_text(template, document("Once")) == "Once<|end|>"


def test_many_rows_with_tools_and_documents_are_encoded_as_one_by_one() -> None:
    template = made(WITH_TOOLS)
    rows = [Conversation(0, TALK, tools=TOOLS), document("Once"), Conversation(2, TALK[:2]), Conversation(3, TALK)]
    assert template.encode_many(rows) == [template.encode(row) for row in rows]


def test_a_document_that_is_too_long_keeps_its_beginning() -> None:
    template = replace(made(WITH_TOOLS), max_length=4)
    sample = template.encode(document("one two three four five six seven"))
    assert sample.outcome == "cut" and len(sample.input_ids) == 4
    assert sample.input_ids == made(WITH_TOOLS).encode(document("one two three four five six seven")).input_ids[:4]


def test_questions_of_tool_calls_and_documents_can_be_scored() -> None:
    template = made(WITH_TOOLS)
    asked = [Conversation(0, TALK[:2], tools=TOOLS), document("Once")]
    call, whole = make_questions(template, asked, template.for_scoring().encode_many(asked))
    assert call.target == CALLS
    assert template.tokenizer.decode(call.prompt) == template.text(TALK[:1], tools=TOOLS, add_generation_prompt=True)
    assert whole.target == "Once" and len(whole.prompt) == 1
