"""Many rows in one go give what each gives alone, for templates of all kinds and any text."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import ByteLevel

from llm_studio.data.types import Conversation, Message
from llm_studio.tokens.encoding import BLOCK_CHARACTERS, BLOCK_ROWS, blocks, ranges_by_offsets
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.spans import Patterns, Span
from tests.tokens.test_families import FAMILIES, TURNS, made
from tests.tokens.test_template import NO_SYSTEM
from tests.tokens.test_template import made as made_from

ODD = (
    "", " ", "\n", "a", "  word ", "\ttab\n", "😀", "é\u0301", "<|im_end|>", "</think>", "<think>x</think>y", "[INST]",
    "one<|end|>", "日本", "{{ x }}", "assistant", "\ue0020\ue003", " one two  three\n\n",
)  # fmt: skip
TEXT = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TEMPLATES = {family.name: made(family) for family in FAMILIES} | {"markers": made_from(), "trims": made_from(NO_SYSTEM)}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", TEMPLATES)
def test_gives_what_each_row_gives_alone(name: str, data: st.DataObject) -> None:
    template = TEMPLATES[name]
    turns = data.draw(st.lists(st.tuples(TEXT, TEXT, st.booleans()), min_size=1, max_size=3))
    messages = [m for ask, say, learned in turns for m in (Message("user", ask), Message("assistant", say, learned))]
    rows = [Conversation(5, tuple(messages)), Conversation(6, tuple(messages[: 2 * len(turns) - 1]))]
    assert template.encode_many(rows) == [template.encode(row) for row in rows]


@pytest.mark.parametrize("name", TEMPLATES)
def test_after_the_first_row_of_its_kind_one_rendering_is_enough(name: str) -> None:
    template, patterns, calls = TEMPLATES[name], Patterns(), []

    def thorough(conversation: Conversation) -> tuple[str, list[Span]]:
        calls.append(conversation.row)
        return template.rendered(conversation)

    for number, text in enumerate(("one", "two", " three ")):
        row = Conversation(number, (Message("user", text), Message("assistant", text * 2, True)))
        assert patterns.find(row, template.text_of, thorough) == template.rendered(row)
    assert len(calls) == 1


def test_a_template_with_other_settings_makes_patterns_of_its_own() -> None:
    template = made_from()
    row = Conversation(0, TURNS)
    assert template.encode_many([row]) == [template.encode(row)]
    last = replace(template, only_last_answer=True)
    assert last.encode_many([row]) == [last.encode(row)]


def test_white_space_that_a_tokenizer_does_not_count_is_learned_with_its_answer() -> None:
    template = made_from()
    template.tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)  # as Llama 3 has it
    answer = "if x:\n        return 1"
    row = Conversation(0, (Message("user", "a"), Message("assistant", answer, True)))
    sample = template.encode(row)
    assert template.encode_many([row]) == [sample]
    learned = [label for label in sample.labels if label != IGNORE_INDEX]
    assert template.tokenizer.decode(learned) == answer + "<|end|>"


def test_a_token_of_no_width_belongs_to_the_span_it_ends_in() -> None:
    offsets = [(0, 2), (4, 4), (5, 6), (7, 7), (8, 9)]
    assert ranges_by_offsets(offsets, [(2, 6)]) == ((1, 3),)
    assert ranges_by_offsets(offsets, [(4, 7)]) == ((2, 4),)
    assert ranges_by_offsets(offsets, []) == ()


def test_the_tokenizer_s_threads_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    made_from().encode_many([Conversation(0, TURNS)])
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_a_tokenizer_that_puts_spaces_in_front_of_words_gives_the_same_in_one_go() -> None:
    template = made_from()
    template.tokenizer.backend_tokenizer.pre_tokenizer = Metaspace()
    rows = [Conversation(0, TURNS), Conversation(1, (TURNS[0], Message("assistant", "  a b ", True)))]
    assert template.encode_many(rows) == [template.encode(row) for row in rows]


def test_ids_alone_are_those_of_the_prompt() -> None:
    template = made_from()
    prompts = [Conversation(0, TURNS[:1]), Conversation(1, TURNS[:3])]
    expected = [template.prompt_ids(one.messages) for one in prompts]
    assert template.ids_many(prompts, add_generation_prompt=True) == expected
    assert template.ids_many(prompts) == [list(template.whole(one).ids) for one in prompts]


def test_blocks_hold_every_row_once_and_no_more_than_fits() -> None:
    texts = ["a" * BLOCK_CHARACTERS, "b", "", "c" * (BLOCK_CHARACTERS - 1), "d", *["e"] * (BLOCK_ROWS + 1)]
    found = list(blocks(texts, len))
    assert [text for block in found for text in block] == texts
    assert [len(block) for block in found] == [1, 3, BLOCK_ROWS, 2]
    assert list(blocks([], len)) == []
