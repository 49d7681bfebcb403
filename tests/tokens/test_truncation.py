"""The contract for long rows: what is kept, that nothing is silent, and that scored rows are never left out."""

from typing import Any

import pytest
from transformers import AutoTokenizer

from llm_studio.config import make_config
from llm_studio.config.tokenizer import Tokenizer
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template
from llm_studio.tokens.truncation import Counts
from llm_studio.tokens.truncation import counted as counted_figures

LONG = "word " * 60
SYSTEM = Message("system", "Be brief.")


def made(**changes: Any) -> Template:
    return make_template(
        AutoTokenizer.from_pretrained(str(BACKBONE)), make_config({"tokenizer.max_length": 32} | changes)
    )


def counted(samples: list[Sample]) -> Counts:
    return counted_figures((one.row, one.outcome, len(one.input_ids), one.learned_tokens) for one in samples)


def turn(number: int, words: str = "") -> tuple[Message, Message]:
    return Message("user", f"Question {number}? {words}"), Message("assistant", f"answer {number}", True)


def read(template: Template, sample: Sample) -> tuple[str, str]:
    """The text of a sample, and what of it is learned."""
    decode = template.tokenizer.decode
    return decode(list(sample.input_ids)), decode([label for label in sample.labels if label != IGNORE_INDEX])


def test_oldest_turns_go_first_and_system_last_prompt_and_answer_stay_whole() -> None:
    template = made(**{"tokenizer.max_length": 64})
    row = Conversation(3, (SYSTEM, *turn(1, LONG), *turn(2), *turn(3)))
    sample = template.encode(row)
    expected = template.encode(Conversation(3, (SYSTEM, *turn(2), *turn(3))))
    assert sample.outcome == "shortened"
    assert (sample.input_ids, sample.labels) == (expected.input_ids, expected.labels)
    assert sample.cut_tokens == len(template.whole(row).ids) - len(expected.input_ids)
    assert read(template, sample)[1] == "answer 2<|end|>answer 3<|end|>"


def test_no_more_turns_go_than_must() -> None:
    turns = [message for number in range(9) for message in turn(number)]
    template = made(**{"tokenizer.max_length": 64})
    sample = template.encode(Conversation(0, tuple(turns)))
    kept = sum(f"Question {number}?" in read(template, sample)[0] for number in range(9))
    one_more = template.whole(Conversation(0, tuple(turns[-2 * (kept + 1) :])))
    assert 1 <= kept < 9
    assert len(sample.input_ids) <= 64 < len(one_more.ids)


@pytest.mark.parametrize("truncation", ["oldest_turns", "drop"])
def test_a_row_that_cannot_be_kept_whole_is_dropped_and_keeps_its_number(truncation: str) -> None:
    template = made(**{"tokenizer.truncation": truncation})
    row = Conversation(7, turn(1, LONG))
    sample = template.encode(row)
    assert (sample.row, sample.outcome, sample.input_ids, sample.labels) == (7, "dropped", (), ())
    assert sample.cut_tokens == len(template.whole(row).ids)


def test_drop_drops_what_oldest_turns_would_shorten() -> None:
    row = Conversation(0, (*turn(1, LONG), *turn(2)))
    assert made(**{"tokenizer.truncation": "drop"}).encode(row).outcome == "dropped"
    assert made().encode(row).outcome == "shortened"


@pytest.mark.parametrize("truncation", ["oldest_turns", "drop", "cut"])
def test_a_row_within_the_limit_is_whole_whatever_is_set(truncation: str) -> None:
    sample = made(**{"tokenizer.truncation": truncation}).encode(Conversation(0, turn(1)))
    assert (sample.outcome, sample.cut_tokens) == ("whole", 0)


@pytest.mark.parametrize(("truncation", "beyond"), [("oldest_turns", "shortened"), ("drop", "dropped"), ("cut", "cut")])
def test_a_row_of_just_the_limit_is_whole_and_one_token_more_is_too_long(truncation: str, beyond: str) -> None:
    row = Conversation(0, (*turn(1), *turn(2), *turn(3)))
    tokens = len(made().whole(row).ids)
    for limit, outcome in ((tokens, "whole"), (tokens - 1, beyond)):
        sample = made(**{"tokenizer.truncation": truncation, "tokenizer.max_length": limit}).encode(row)
        assert (sample.outcome, len(sample.input_ids) <= limit) == (outcome, True)


def test_turns_that_fill_the_limit_to_its_last_token_are_kept() -> None:
    turns = [message for number in range(9) for message in turn(number)]
    kept = made().whole(Conversation(0, tuple(turns[-6:])))
    for more in (0, -1):
        template = made(**{"tokenizer.max_length": len(kept.ids) + more})
        sample = template.encode(Conversation(0, tuple(turns)))
        assert read(template, sample)[0].count("Question") == (2 if more else 3)


def test_the_last_turn_alone_may_fill_the_limit() -> None:
    last = (Message("user", "word " * 20), Message("assistant", "answer", True))
    tokens = len(made().whole(Conversation(0, last)).ids)
    for limit, outcome in ((tokens, "shortened"), (tokens - 1, "dropped")):
        assert made(**{"tokenizer.max_length": limit}).encode(Conversation(0, (*turn(1), *last))).outcome == outcome


def test_a_document_that_is_too_long_keeps_its_beginning_unless_dropping_is_set() -> None:
    row = Conversation(0, (Message("assistant", "one two three " * 30, True),), plain=True)
    template = made()
    sample = template.encode(row)
    assert (sample.outcome, sample.input_ids) == ("cut", template.whole(row).ids[:32])
    assert made(**{"tokenizer.truncation": "drop"}).encode(row).outcome == "dropped"


@pytest.mark.parametrize("side", ["left", "right"])
def test_cutting_takes_tokens_off_the_end_that_is_set_and_no_more_than_must(side: str) -> None:
    template = made(**{"tokenizer.truncation": "cut", "tokenizer.truncation_side": side})
    row = Conversation(0, turn(1, LONG))
    ids = template.whole(row).ids
    assert template.encode(row).input_ids == (ids[-32:] if side == "left" else ids[:32])


@pytest.mark.parametrize("truncation", ["oldest_turns", "drop", "cut"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_scored_rows_are_the_same_in_every_experiment_and_never_left_out(truncation: str, side: str) -> None:
    template = made(**{"tokenizer.truncation": truncation, "tokenizer.truncation_side": side}).for_scoring()
    rows = [Conversation(0, turn(1, LONG)), Conversation(1, (*turn(1, LONG), *turn(2))), Conversation(2, turn(1))]
    samples = template.encode_many(rows)
    assert [sample.outcome for sample in samples] == ["cut", "shortened", "whole"]
    assert all(len(sample.input_ids) <= 32 and sample.learned_tokens for sample in samples)
    assert read(template, samples[0])[1] == "answer 1<|end|>"
    counts = counted(samples)
    assert [words.partition(",")[0] for words in counts.scoring_sentences(32)] == [
        "Without their oldest turns are scored: 1 validation row (2)",
        "Cut at their beginning are scored: 1 validation row (1)",
    ]


def test_a_shortened_row_that_is_still_too_long_to_score_is_cut_from_what_is_left() -> None:
    template = made().for_scoring()
    row = Conversation(0, (*turn(1, LONG), *turn(2, LONG)))
    sample = template.encode(row)
    assert sample.outcome == "cut"
    assert sample.cut_tokens == len(template.whole(row).ids) - 32


def test_every_row_is_counted_once_and_said() -> None:
    template = made()
    rows = [turn(1), (*turn(1, LONG), *turn(2)), turn(1, LONG), (Message("user", "Only a question."),)]
    counts = counted(template.encode_many([Conversation(number, row) for number, row in enumerate(rows)]))
    assert (counts.rows, counts.shortened, counts.cut, counts.dropped, counts.unlearned) == (4, (1,), (), (2,), (3,))
    said = " ".join(counts.sentences(32))
    for words in ("1 row (2), longer than 32", "1 row (3), longer than 32", "1 row (4), with nothing to learn"):
        assert words in said
    assert max(said.count(f"({number})") for number in range(1, 5)) == 1


def test_cut_answers_are_not_trained_on_silently_and_all_of_them_refuse_the_start() -> None:
    template = made(**{"tokenizer.truncation": "cut", "tokenizer.truncation_side": "right"})
    counts = counted(template.encode_many([Conversation(number, turn(1, LONG)) for number in range(7)]))
    assert counts.cut == counts.unlearned == tuple(range(7))
    assert "7 rows (1, 2, 3, 4, 5, …)" in counts.sentences(32)[1]
    with pytest.raises(UserError) as caught:
        counts.refuse_nothing(32, "cut")
    assert caught.value.where == "tokenizer.max_length"
    assert "tokenizer.max_length" in caught.value.fix and "tokenizer.truncation_side" in caught.value.fix


def test_rows_without_answers_are_not_blamed_on_the_limit() -> None:
    counts = counted(made().encode_many([Conversation(0, (Message("user", "a"),))]))
    with pytest.raises(UserError) as caught:
        counts.refuse_nothing(32, "oldest_turns")
    assert caught.value.where == "data set" and "answer column" in caught.value.fix


def test_the_default_never_halves_an_answer_and_its_reason_stands_in_its_help() -> None:
    assert Tokenizer().truncation == "oldest_turns"
    assert "beginner" in (Tokenizer.model_fields["truncation"].description or "")
