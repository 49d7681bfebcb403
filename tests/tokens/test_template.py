"""Learned spans: answers with their end of turn and nothing else, for templates of several kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template

CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<|user|>' + ('model' if m['role'] == 'assistant' else m['role']) + ' ' }}"
    "{{ (m['content'] | trim) + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|user|>model ' }}{% endif %}"
)
EXCHANGE = (Message("user", "How many?"), Message("assistant", "37 cups", learned=True))
THREE_TURNS = (*EXCHANGE, Message("user", "And now?"), Message("assistant", "none", learned=True))


def made(jinja: str | None = None, **changes: Any) -> Template:
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    tokenizer.chat_template = jinja or tokenizer.chat_template
    return make_template(tokenizer, make_config(changes))


def learned_text(template: Template, *messages: Message) -> str:
    sample = template.encode(Conversation(0, messages))
    return str(template.tokenizer.decode([label for label in sample.labels if label != IGNORE_INDEX]))


@pytest.mark.parametrize("jinja", [None, CHATML, NO_SYSTEM], ids=["starter", "chatml", "no system role"])
def test_learns_the_answers_with_their_end_of_turn_and_nothing_else(jinja: str | None) -> None:
    assert learned_text(made(jinja), *THREE_TURNS) == "37 cups<|end|>none<|end|>"


def test_a_backbone_without_a_template_gets_the_markers_of_the_settings() -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    tokenizer.chat_template = None
    template = make_template(
        tokenizer, make_config({"dataset.text_prompt_start": "Q: ", "dataset.text_answer_separator": "A: "})
    )
    assert template.source == "markers"
    assert template.text(EXCHANGE) == "Q: How many?<|end|>A: 37 cups<|end|>"
    assert template.text(EXCHANGE[:1], add_generation_prompt=True) == "Q: How many?<|end|>A: "
    assert learned_text(template, *EXCHANGE) == "37 cups<|end|>"
    assert set(template.stop_texts) == {"<|system|>", "Q: ", "A: "}


def test_a_tokenizer_that_was_saved_with_markers_is_read_back_as_one_with_markers(tmp_path: Path) -> None:
    first = made(**{"dataset.chat_template": "markers"})
    first.tokenizer.save_pretrained(tmp_path)
    again = make_template(AutoTokenizer.from_pretrained(str(tmp_path)), make_config({}))
    assert again.source == "markers"
    assert again.stop_texts == first.stop_texts
    assert again.encode(Conversation(0, EXCHANGE)) == first.encode(Conversation(0, EXCHANGE))


def test_markers_hold_quotes_line_breaks_and_braces_as_typed() -> None:
    odd = "\n{{ 'x' }} \"quoted\"\\ é 😀 "
    template = made(**{"dataset.chat_template": "markers", "dataset.text_prompt_start": odd})
    assert template.text(EXCHANGE[:1]) == f"{odd}How many?<|end|>"


def test_only_the_last_answer_is_learned_when_asked() -> None:
    assert learned_text(made(**{"dataset.only_last_answer": True}), *THREE_TURNS) == "none<|end|>"


def test_prompts_are_learned_too_when_asked_but_never_the_first_token() -> None:
    sample = made(**{"dataset.mask_prompt_labels": False}).encode(Conversation(0, EXCHANGE))
    assert sample.labels == (IGNORE_INDEX, *sample.input_ids[1:])
    assert sum(label != IGNORE_INDEX for label in sample.answer_labels) < sample.learned_tokens


def test_messages_that_are_not_to_be_learned_are_not() -> None:
    unlearned = (EXCHANGE[0], Message("assistant", "37 cups"))
    assert learned_text(made(), *unlearned) == ""


def test_a_refused_conversation_names_its_row_and_the_way_out() -> None:
    with pytest.raises(UserError) as caught:
        made(NO_SYSTEM).encode(Conversation(4, (Message("system", "Be brief."), *EXCHANGE)))
    assert "System role not supported" in caught.value.what
    assert caught.value.where == "row 5 of the data set"
    assert "markers" in caught.value.fix


@pytest.mark.parametrize(("side", "kept"), [("left", slice(-32, None)), ("right", slice(0, 32))])
def test_a_long_conversation_is_cut_where_the_settings_say_and_counted(side: str, kept: slice) -> None:
    long = (Message("user", "word " * 60), EXCHANGE[1])
    whole = made().encode(Conversation(0, long))
    settings = {"tokenizer.max_length": 32, "tokenizer.truncation": "cut", "tokenizer.truncation_side": side}
    cut = made(**settings).encode(Conversation(0, long))
    assert cut.outcome == "cut"
    assert cut.truncated
    assert cut.cut_tokens == len(whole.input_ids) - 32
    assert cut.input_ids == whole.input_ids[kept]


def test_generation_stops_at_the_end_of_turn() -> None:
    assert made().tokenizer.convert_ids_to_tokens(made().stop_ids) == ["<|end|>"]


def test_the_prompt_for_generation_is_the_beginning_of_the_learned_conversation() -> None:
    template = made()
    prompt = template.prompt_ids(EXCHANGE[:1])
    assert tuple(prompt) == template.encode(Conversation(0, EXCHANGE)).input_ids[: len(prompt)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def template() -> Template:
    return made()


@pytest.fixture(scope="module")
def plain_reference(template: Template) -> Callable[[list[tuple[str, str]]], tuple[list[int], list[int]]]:
    """Every part tokenised by itself: possible here, since special tokens stand between all parts."""

    def encode(turns: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        labels: list[int] = []
        for prompt, answer in turns:
            before = template.tokenizer(f"<|user|>{prompt}<|end|><|assistant|>")["input_ids"]
            after = template.tokenizer(f"{answer}<|end|>")["input_ids"]
            ids += before + after
            labels += [IGNORE_INDEX] * len(before) + after
        return ids, labels

    return encode


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_equals_the_plain_way_of_joining_tokens_for_any_text(
    template: Template,
    plain_reference: Callable[[list[tuple[str, str]]], tuple[list[int], list[int]]],
    turns: list[tuple[str, str]],
) -> None:
    messages = tuple(
        message for prompt, answer in turns for message in (Message("user", prompt), Message("assistant", answer, True))
    )
    sample = template.encode(Conversation(0, messages))
    ids, labels = plain_reference(turns)
    assert list(sample.input_ids) == ids
    assert list(sample.labels) == labels
