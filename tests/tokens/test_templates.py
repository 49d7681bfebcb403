"""Named chat templates: the same tokens as the authors' own templates, plain text where tokens are missing."""

import pytest
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template
from llm_studio.tokens.templates import TEMPLATES
from tests.tokens.test_families import CHATML, GEMMA, LLAMA_3, TURNS, Family, learned_text

NAMED = {"chatml": CHATML, "llama3": LLAMA_3, "gemma": GEMMA}
SYSTEM = Message("system", "Count.")


def made(name: str, *, tokens: bool = True, begins: bool = True, **changes: object) -> Template:
    """With the tokens of the format, or without; a tokenizer that begins texts with one, where its authors' does."""
    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    family = NAMED[name]
    if tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(family.tokens)})
    if tokens and begins and family is not CHATML:
        from tokenizers.processors import TemplateProcessing

        begin = family.tokens[0]
        tokenizer.bos_token = begin
        number = tokenizer.convert_tokens_to_ids(begin)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, number)]
        )
    return make_template(tokenizer, make_config({"dataset.chat_template": name, **changes}))


def authors(name: str) -> Template:
    tokenizer = made(name).tokenizer
    tokenizer.chat_template = NAMED[name].jinja
    return make_template(tokenizer, make_config({}))


def test_every_choice_of_the_setting_is_there() -> None:
    assert set(TEMPLATES) == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("turns", [TURNS, TURNS[:2], (SYSTEM, *TURNS)], ids=["two turns", "one", "system"])
def test_the_tokens_and_labels_are_those_of_the_authors_template(name: str, turns: tuple[Message, ...]) -> None:
    if turns[0].role == "system" and not NAMED[name].system:
        turns = turns[1:]
    ours, theirs = made(name), authors(name)
    assert ours.source == name and theirs.source == "backbone"
    assert ours.encode(Conversation(0, turns)) == theirs.encode(Conversation(0, turns))
    assert ours.prompt_ids(turns[:-1]) == theirs.prompt_ids(turns[:-1])
    assert ours.stop_ids == theirs.stop_ids


@pytest.mark.parametrize("name", NAMED)
def test_a_text_goes_to_tokens_and_back(name: str) -> None:
    template = made(name)
    sample = template.encode(Conversation(0, TURNS))
    assert template.tokenizer.decode(list(sample.input_ids)) == template.text(TURNS)


@pytest.mark.parametrize(("name", "family"), NAMED.items(), ids=list(NAMED))
def test_without_its_tokens_a_format_works_as_plain_text_and_says_so(name: str, family: Family) -> None:
    template = made(name, tokens=False)
    assert "plain text" in template.reason and TEMPLATES[name].end in template.reason
    assert learned_text(template, *TURNS) == family.learned
    assert template.end_of_turn == TEMPLATES[name].end
    assert TEMPLATES[name].end in template.stop_texts
    assert template.tokenizer.decode(list(template.stop_ids)) == template.tokenizer.eos_token
    assert "<bos>" not in template.text(TURNS) and "begin_of_text" not in template.text(TURNS)


@pytest.mark.parametrize("name", NAMED)
def test_a_format_whose_tokens_are_known_stops_at_its_end_of_turn(name: str) -> None:
    template = made(name)
    assert "plain text" not in template.reason
    assert template.tokenizer.convert_tokens_to_ids(TEMPLATES[name].end) in template.stop_ids


def test_a_refused_system_message_is_reported_with_its_row_and_can_be_folded() -> None:
    turns = (SYSTEM, *TURNS)
    with pytest.raises(UserError) as caught:
        made("gemma").encode_many([Conversation(4, TURNS), Conversation(6, turns)])
    assert caught.value.where == "row 7 of the data set"
    assert "dataset.fold_system" in caught.value.fix and "merge_turns" not in caught.value.fix
    template = made("gemma", **{"dataset.fold_system": True})
    assert template.text(turns).startswith("<bos><start_of_turn>user\nCount.\n\nSay one, not two.<end_of_turn>")
    assert learned_text(template, *turns) == GEMMA.learned


def test_prompts_in_a_row_are_reported_with_the_way_out_and_can_be_joined() -> None:
    turns = (Message("user", "Listen."), *TURNS)
    with pytest.raises(UserError) as caught:
        made("gemma").encode(Conversation(2, turns))
    assert caught.value.where == "row 3 of the data set"
    assert "dataset.merge_turns" in caught.value.fix and "fold_system" not in caught.value.fix
    template = made("gemma", **{"dataset.merge_turns": True})
    assert "user\nListen.\n\nSay one, not two.<end_of_turn>" in template.text(turns)
    assert learned_text(template, *turns) == GEMMA.learned


def test_generation_sees_the_same_reshaped_messages_as_training() -> None:
    both = {"dataset.fold_system": True, "dataset.merge_turns": True}
    template = made("gemma", **both)
    turns = (SYSTEM, TURNS[0], Message("user", "Now."), TURNS[1])
    sample = template.encode(Conversation(0, turns))
    first = next(index for index, label in enumerate(sample.labels) if label != IGNORE_INDEX)
    assert list(sample.input_ids[:first]) == template.prompt_ids(turns[:-1])
