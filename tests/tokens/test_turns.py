"""Reshaping messages: folding, joining, and leaving out the oldest turns."""

from llm_studio.data.types import Message
from llm_studio.tokens.turns import folded, merged, shorter

SYSTEM = Message("system", "s")


def user(text: str) -> Message:
    return Message("user", text)


def answer(text: str, learned: bool = True) -> Message:
    return Message("assistant", text, learned)


def test_a_system_message_is_put_before_the_prompt_after_it_and_stays_where_none_follows() -> None:
    assert folded((SYSTEM, user("a"), answer("b"))) == (user("s\n\na"), answer("b"))
    assert folded((SYSTEM, Message("system", "t"), user("a"))) == (user("s\n\nt\n\na"),)
    assert folded((SYSTEM, answer("b"))) == (SYSTEM, answer("b"))


def test_neighbours_of_one_role_are_joined_but_not_learned_with_unlearned_answers_nor_outputs_of_tools() -> None:
    assert merged((user("a"), user("b"), answer("c"), answer("d"))) == (user("a\n\nb"), answer("c\n\nd"))
    apart = (user("a"), answer("b"), answer("c", False))
    assert merged(apart) == apart
    tools = (Message("tool", "1"), Message("tool", "2"))
    assert merged(tools) == tools


def test_turns_go_from_the_oldest_and_system_and_last_turn_stay() -> None:
    turns = (SYSTEM, user("1"), answer("a"), user("2"), Message("tool", "t"), answer("b"), user("3"), answer("c"))
    assert shorter(turns) == [(SYSTEM, *turns[3:]), (SYSTEM, *turns[6:])]


def test_a_last_prompt_without_an_answer_does_not_count_as_the_last_turn() -> None:
    turns = (user("1"), answer("a"), user("2"), answer("b"), user("3"))
    assert shorter(turns) == [turns[2:]]


def test_prompts_in_a_row_belong_to_one_turn_and_a_single_turn_cannot_be_shortened() -> None:
    assert shorter((SYSTEM, user("1"), user("2"), answer("a"))) == []
    assert shorter((answer("a"), user("1"), user("2"), answer("b"))) == [(user("1"), user("2"), answer("b"))]
