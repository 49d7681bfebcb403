"""Learned spans with the chat templates that families of backbones use, written as their authors wrote them."""

from dataclasses import dataclass

import pytest
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template


@dataclass(frozen=True)
class Family:
    """A template, its special tokens, and what two answers "one" and "two" look like once learned."""

    name: str
    jinja: str
    tokens: tuple[str, ...]
    learned: str
    stop: str
    system: bool = True


CHATML = Family(
    "ChatML",
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>"
    "' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ("<|im_start|>", "<|im_end|>"),
    "one<|im_end|>two<|im_end|>",
    "<|im_end|>",
)
LLAMA_3 = Family(
    "Llama 3",
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = '<|begin_of_text|>' + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "one<|eot_id|>two<|eot_id|>",
    "<|eot_id|>",
)
GEMMA = Family(
    "Gemma",
    "{{ '<bos>' }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}"
    "{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    ("<bos>", "<start_of_turn>", "<end_of_turn>"),
    "one<end_of_turn>two<end_of_turn>",
    "<end_of_turn>",
    system=False,
)
SYSTEM_IN_LAST_PROMPT = Family(
    "Mistral: the system message moves to the last prompt",
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- '<s>' }}"
    "{%- for message in loop_messages %}{%- if message['role'] == 'user' %}"
    "{%- if loop.index0 >= (loop_messages | length) - 2 and system_message is defined %}"
    "{{- '[INST]' + system_message + '\n\n' + message['content'] + '[/INST]' }}{%- else %}"
    "{{- '[INST]' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- elif message['role'] == 'assistant' %}{{- message['content'] + '</s>' }}{%- endif %}{%- endfor %}",
    ("<s>", "</s>", "[INST]", "[/INST]"),
    "one</s>two</s>",
    "</s>",
)
THINKING = Family(
    "Qwen 3: reasoning only in the last turn",
    "{%- set ns = namespace(last=0) %}{%- for message in messages %}{%- if message.role == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}{%- set content = message.content %}{%- set reasoning = '' %}"
    "{%- if '</think>' in content %}{%- set reasoning = content.split('</think>')[0] %}"
    "{%- set reasoning = reasoning.split('<think>')[-1].strip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last %}{{- '<think>\n' + reasoning + '\n</think>\n\n' }}{%- endif %}{{- content }}"
    "{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}",
    ("<|im_start|>", "<|im_end|>"),
    "one<|im_end|>two<|im_end|>",
    "<|im_end|>",
)
FAMILIES = (CHATML, LLAMA_3, GEMMA, SYSTEM_IN_LAST_PROMPT, THINKING)

TURNS = (
    Message("user", "Say one, not two."),
    Message("assistant", "one", learned=True),
    Message("user", "And two?"),
    Message("assistant", "two", learned=True),
)


def made(family: Family) -> Template:
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.tokens)})
    tokenizer.chat_template = family.jinja
    return make_template(tokenizer, make_config({}))


def learned_text(template: Template, *messages: Message) -> str:
    sample = template.encode(Conversation(0, messages))
    return str(template.tokenizer.decode([label for label in sample.labels if label != IGNORE_INDEX]))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_learns_each_answer_with_its_end_of_turn_and_nothing_else(family: Family) -> None:
    assert learned_text(made(family), *TURNS) == family.learned


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.system], ids=lambda family: family.name)
def test_a_system_message_changes_nothing_of_what_is_learned(family: Family) -> None:
    assert learned_text(made(family), Message("system", "one two one"), *TURNS) == family.learned


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_generation_begins_where_the_learned_part_begins_and_stops_at_the_end_of_turn(family: Family) -> None:
    template = made(family)
    sample = template.encode(Conversation(0, TURNS[:2]))
    first = next(index for index, label in enumerate(sample.labels) if label != IGNORE_INDEX)
    assert list(sample.input_ids[:first]) == template.prompt_ids(TURNS[:1])
    assert template.tokenizer.convert_tokens_to_ids(family.stop) in template.stop_ids


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_text_begins_with_one_beginning_of_text_token_at_most(family: Family) -> None:
    template = made(family)
    begin = template.tokenizer.convert_tokens_to_ids(family.tokens[0])
    ids = template.encode(Conversation(0, TURNS[:2])).input_ids
    assert ids[:2] != (begin, begin)


def test_reasoning_in_an_answer_is_learned_with_it() -> None:
    answer = Message("assistant", "<think>\none and one\n</think>\n\ntwo", learned=True)
    assert learned_text(made(THINKING), TURNS[0], answer) == "one and one\n</think>\n\ntwo<|im_end|>"


def test_two_prompts_in_a_row_are_refused_with_the_row_where_the_template_refuses_them() -> None:
    with pytest.raises(UserError) as caught:
        made(GEMMA).encode(Conversation(6, (TURNS[0], *TURNS)))
    assert "must alternate" in caught.value.what
    assert caught.value.where == "row 7 of the data set"


def test_a_conversation_that_begins_with_an_answer_learns_the_answer_alone() -> None:
    assert learned_text(made(CHATML), TURNS[1]) == "one<|im_end|>"
