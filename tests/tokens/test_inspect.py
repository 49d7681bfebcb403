"""The token inspector: shows every token with its text, tells what is learned and cut, and warns in words."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import ByteLevel
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.starter import BACKBONE
from llm_studio.tokens.inspect import TokenView, inspect_conversation
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template
from tests.tokens.test_families import FAMILIES, TURNS, Family
from tests.tokens.test_families import made as made_family

LONG = "word " * 60
SYSTEM = Message("system", "Be brief.")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def made(**changes: Any) -> Template:
    config = make_config({"tokenizer.max_length": 32} | changes)
    return make_template(AutoTokenizer.from_pretrained(str(BACKBONE)), config)


def turn(number: int, words: str = "") -> tuple[Message, Message]:
    return Message("user", f"Question {number}? {words}"), Message("assistant", f"answer {number}", True)


def text_of(view: TokenView, flag: str, wanted: bool = True) -> str:
    return "".join(piece.text for piece in view.tokens if getattr(piece, flag) is wanted)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_is_flagged_as_learned_is_what_is_learned(family: Family) -> None:
    template = made_family(family)
    view = inspect_conversation(template, Conversation(0, TURNS))
    assert text_of(view, "learned") == family.learned
    assert [view.tokens[place].text for place in view.ends] == [family.stop, family.stop]
    assert "".join(piece.text for piece in view.tokens) == view.text == template.text(TURNS)
    assert view.outcome == "whole" and view.warnings == () and view.complete
    assert view.learned_share == view.learned_tokens / len(view.tokens)


TEMPLATE = made(**{"tokenizer.max_length": 1024})


@settings(max_examples=50, deadline=None)
@given(ask=TEXT, say=TEXT)
def test_the_pieces_cover_any_text_without_gaps(ask: str, say: str) -> None:
    view = inspect_conversation(TEMPLATE, Conversation(0, (Message("user", ask), Message("assistant", say, True))))
    at = 0
    for piece in view.tokens:
        assert piece.start <= at <= piece.end
        assert 1 <= piece.part <= piece.parts
        at = piece.end
    assert at == len(view.text)


def test_bytes_of_one_character_are_numbered_and_share_its_text() -> None:
    row = Conversation(0, (Message("user", "a"), Message("assistant", "𓀀", True)))
    parts = [piece for piece in inspect_conversation(TEMPLATE, row).tokens if piece.parts > 1]
    assert parts and {piece.text for piece in parts} == {"𓀀"}
    assert [piece.shown for piece in parts] == [f"𓀀 {number}/{len(parts)}" for number in range(1, len(parts) + 1)]


def test_white_space_that_the_tokenizer_does_not_count_is_shown() -> None:
    template = made(**{"tokenizer.max_length": 1024})
    template.tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    row = Conversation(0, (Message("user", "a"), Message("assistant", "if x:\n        return 1", True)))
    view = inspect_conversation(template, row)
    assert "".join(piece.text for piece in view.tokens) == view.text


def test_oldest_turns_are_flagged_as_cut_and_the_rest_is_not() -> None:
    template = made(**{"tokenizer.max_length": 64})
    view = inspect_conversation(template, Conversation(0, (SYSTEM, *turn(1, LONG), *turn(2))))
    assert view.outcome == "shortened" and view.complete
    assert text_of(view, "truncated") == template.text(turn(1, LONG))
    assert text_of(view, "learned") == "answer 2<|end|>"
    assert view.kept_tokens + sum(piece.truncated for piece in view.tokens) == view.total_tokens
    assert "oldest turns" in view.warnings[0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_cut_tokens_are_flagged_on_the_side_that_is_cut(side: str) -> None:
    changes = {"tokenizer.truncation": "cut", "tokenizer.truncation_side": side}
    view = inspect_conversation(made(**changes), Conversation(0, turn(1, LONG)))
    cut = [piece.truncated for piece in view.tokens]
    assert cut == sorted(cut, reverse=side == "left")
    assert sum(cut) == view.total_tokens - 32
    warned = "Nothing in this row is learned" in " ".join(view.warnings)
    assert warned == (side == "right") == (text_of(view, "learned") == "")


def test_a_document_that_is_too_long_shows_its_end_as_cut_and_says_what_to_raise() -> None:
    row = Conversation(0, (Message("assistant", "one two three " * 30, True),), plain=True)
    view = inspect_conversation(made(), row)
    cut = [piece.truncated for piece in view.tokens]
    assert cut == [False] * 32 + [True] * (view.total_tokens - 32)
    assert view.complete
    assert any("raise tokenizer.max_length" in words for words in view.warnings)
    assert not any("set tokenizer.truncation to oldest_turns" in words for words in view.warnings)


def test_a_dropped_row_is_all_cut_and_says_what_to_change() -> None:
    view = inspect_conversation(made(), Conversation(0, turn(1, LONG)))
    assert view.outcome == "dropped" and all(piece.truncated for piece in view.tokens)
    assert (view.kept_tokens, view.learned_tokens, view.learned_share) == (0, 0, 0.0)
    assert "tokenizer.max_length" in view.warnings[0] and len(view.warnings) == 1


def test_a_template_that_writes_a_shortened_row_otherwise_shows_what_is_kept() -> None:
    config = make_config({"tokenizer.max_length": 64})
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    tokenizer.chat_template = (
        "{{ messages | length }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    template = make_template(tokenizer, config)
    view = inspect_conversation(template, Conversation(0, (*turn(1, LONG), *turn(2))))
    assert view.outcome == "shortened" and not view.complete
    assert view.text == template.text(turn(2))
    assert text_of(view, "learned") == "answer 2<|end|>"
    assert [view.tokens[place].text for place in view.ends] == ["<|end|>"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"dataset.chat_template": "markers", "dataset.add_eos_token_to_answer": False},
            "dataset.add_eos_token_to_answer",
        ),
        ({"tokenizer.truncation": "cut", "tokenizer.truncation_side": "right"}, "tokenizer.truncation"),
    ],
    ids=["no end", "end cut off"],
)
def test_an_answer_without_a_learned_end_is_warned_of(changes: dict[str, Any], words: str) -> None:
    row = Conversation(0, (Message("user", "a"), Message("assistant", "blue " * 60, True)))
    limit = 1024 if "dataset.chat_template" in changes else 32
    view = inspect_conversation(made(**changes, **{"tokenizer.max_length": limit}), row)
    assert view.learned_tokens and not view.ends
    assert any("does not learn to stop" in warning and words in warning for warning in view.warnings)


def test_special_texts_inside_messages_are_warned_of() -> None:
    row = Conversation(0, (Message("user", "say <|end|> now"), Message("assistant", "b", True)))
    view = inspect_conversation(TEMPLATE, row)
    assert any("message 1 (user) holds <|end|>" in warning for warning in view.warnings)
    assert sum(piece.special for piece in view.tokens) == 5


def test_a_format_in_plain_text_still_ends_its_turns_and_says_so() -> None:
    template = made(**{"dataset.chat_template": "chatml", "tokenizer.max_length": 1024})
    view = inspect_conversation(template, Conversation(0, turn(1)))
    assert "".join(view.tokens[place].text for place in view.ends) == "<|im_end|>"
    assert any("plain text" in warning for warning in view.warnings)


def test_a_view_survives_json() -> None:
    view = inspect_conversation(TEMPLATE, Conversation(3, turn(1, "😀")))
    back = json.loads(json.dumps(view.as_dict()))
    assert back["row"] == 3 and len(back["tokens"]) == view.total_tokens
    assert back["tokens"][0]["shown"] == "<|user|>" and back["tokens"][0]["special"] is True
    assert sum(token["learned"] for token in back["tokens"]) == view.learned_tokens == back["learned_tokens"]


def test_labels_and_flags_agree_token_by_token() -> None:
    row = Conversation(0, (SYSTEM, *turn(1), *turn(2)))
    sample, view = TEMPLATE.encode(row), inspect_conversation(TEMPLATE, row)
    assert [piece.id for piece in view.tokens] == list(sample.input_ids)
    assert [piece.learned for piece in view.tokens] == [label != IGNORE_INDEX for label in sample.labels]
