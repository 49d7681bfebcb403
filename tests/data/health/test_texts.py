"""Checks of single rows find every planted row and nothing in clean ones."""

import pytest

from tests.data.health.conftest import Examine, Make, clean_pairs, named, rows_named

CLEAN = clean_pairs(120)
WHOLE = "The committee met on Monday and agreed on the plan for the coming year without much debate."
REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I cannot help with that. " + WHOLE,
    "I apologize, but I am not able to provide medical advice of this kind to you here.",
    "Unfortunately, I can't access the file that you mention, so tell me more about it please.",
    "Es tut mir leid, dabei kann ich Ihnen leider nicht helfen, denn es steht mir nicht zu.",
]
AS_AI = [
    "As an AI language model, I do not eat, but many people like pasta with tomatoes and basil.",
    "I'm just an AI assistant. " + WHOLE,
    "I don't have personal opinions on politics, and I would rather not begin to form some now.",
    "My knowledge cutoff is in September, so what came afterwards is not known to me at all.",
    "I was developed by OpenAI to be of help to people. " + WHOLE,
]
MEANT = [
    "As an AI researcher, she built models that are used in hospitals all over the country today.",
    "The shop was sorry that the order came late, and it could not help the delay in the end.",
    "GPT-3 was developed by OpenAI and released in the year 2020 to a small group of people first.",
]
BROKEN = [
    "The committee met on Monday and agreed on the plan for the coming year without much of",
    "The committee met on Monday and agreed on the plan for the coming year, but then the chair,",
    "The committee met on Monday and agreed on the plan for the coming year while members argued loud",
    "The committee met on Monday and agreed on the plan for the coming year and the...",
]
ENDED = [
    WHOLE,
    "Here are the things that you should bring along on the trip to the lake:\n- a tent\n- a good rope",
    "The result of the sum that you asked me to work out for you today is x = 4 + 9 = 13",
    "The committee met on Monday and agreed on the plan, as told. #planning #CommitteeWork",
    '"It is never too late to be what you might have been in your life." - George Eliot',
    "Read more of it on this page, where all of the steps are told in order: https://page.org/a/b",
]


def planted(answers: list[str]) -> list[tuple[str, str]]:
    """Clean rows, then one row for each of the answers."""
    return CLEAN + [(f"Please say something on matter {place}.", one) for place, one in enumerate(answers)]


def rows_of(answers: list[str]) -> list[int]:
    return list(range(len(CLEAN), len(CLEAN) + len(answers)))


def test_clean_rows_pass_every_check(look: Examine) -> None:
    report = look(CLEAN)
    assert [one.what for one in report.findings] == []
    assert all(one.findings == 0 and one.looked_at == 120 and "Passed" in one.words for one in report.checks)


def test_finds_refusals_and_answers_that_speak_as_an_ai(look: Examine) -> None:
    report = look(planted(REFUSALS + AS_AI + MEANT))
    assert rows_named(report, "refusals") == rows_of(REFUSALS)
    assert rows_named(report, "refusals-as_ai") == [row + len(REFUSALS) for row in rows_of(AS_AI)]


def test_finds_answers_that_break_off_and_leaves_lists_formulas_and_quotes(look: Examine) -> None:
    report = look(planted(BROKEN + ENDED))
    assert rows_named(report, "cut_off") == rows_of(BROKEN)


def test_answers_that_usually_have_no_full_stop_do_not_break_off(look: Examine) -> None:
    report = look([(prompt, answer.rstrip(".")) for prompt, answer in CLEAN])
    assert rows_named(report, "cut_off") == []


def test_finds_empty_prompts_and_single_words_among_long_answers(look: Examine) -> None:
    rows = [
        *CLEAN,
        ("", WHOLE),
        ("  \n", "Another answer that stands without any question of a user."),
        ("Yes?", "N/A"),
    ]
    report = look(rows)
    assert rows_named(report, "empty_prompts") == [120, 121]
    assert rows_named(report, "short_answers-one_word") == [122]


def test_single_words_are_no_matter_where_they_are_usual(look: Examine) -> None:
    rows = [(prompt, ["good", "bad", "neutral"][place % 3]) for place, (prompt, _) in enumerate(CLEAN)]
    assert rows_named(look(rows), "short_answers-one_word") == []


def test_finds_empty_answers_within_a_conversation(look: Examine) -> None:
    chats = [chat(("user", prompt), ("assistant", answer)) for prompt, answer in CLEAN[:40]]
    chats.append(chat(("user", "One?"), ("assistant", " "), ("user", "Well?"), ("assistant", WHOLE)))
    assert rows_named(look(chats), "short_answers-empty") == [40]


def chat(*messages: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


OUT_OF_ORDER = [
    ([("user", "One?"), ("user", "Two?"), ("assistant", WHOLE)], "two messages of the user in a row"),
    ([("assistant", "Hello!"), ("user", "Hi, what is new?"), ("assistant", WHOLE)], "the assistant begins"),
    ([("user", "What is it?"), ("assistant", WHOLE), ("user", "Thanks!")], "the user has the last word"),
    ([("user", "Which?"), ("system", "Be kind."), ("assistant", WHOLE)], "a system message is not the first"),
    ([("tool", "3"), ("user", "Who is it?"), ("assistant", WHOLE)], "a tool begins"),
]


@pytest.mark.parametrize(("messages", "words"), OUT_OF_ORDER, ids=lambda one: one if isinstance(one, str) else "")
def test_finds_messages_out_of_order(look: Examine, messages: list[tuple[str, str]], words: str) -> None:
    chats = [chat(("user", prompt), ("assistant", answer)) for prompt, answer in CLEAN[:20]]
    with_tool = [("user", "Sum?"), ("assistant", "I count."), ("tool", "3"), ("tool", "4"), ("assistant", "It is 3.")]
    good = chat(("system", "Be brief."), *with_tool)
    report = look([*chats, good, chat(*messages)])
    assert rows_named(report, "role_order") == [21]
    found = next(one for one in report.findings if one.check == "role_order")
    assert words in found.what and found.examples[0].reason == words


def test_white_space_around_texts_is_a_note_with_a_step_that_trims(look: Examine, make: Make) -> None:
    rows = [*CLEAN[:50], (" What?", WHOLE), ("And then what came after it?", WHOLE + "\n")]
    report = look(rows)
    assert rows_named(report, "white_space") == [50, 51]
    found = next(one for one in report.findings if one.check == "white_space")
    assert found.severity == "note" and found.remedy is not None and found.remedy.kind == "trim"
    assert found.remedy.params == {"columns": ["q", "a"], "nested": []}


def test_a_finding_says_how_many_of_how_many_and_shows_the_first_with_reasons(look: Examine) -> None:
    report = look(planted([f"{AS_AI[0]} Number {number} of these." for number in range(30)]), own=CLEAN[:40])
    found = named(report, "refusals-as_ai-train")
    assert found.what.startswith("30 rows with an answer that speaks as an AI") and "20 % of the training" in found.what
    assert (found.count, found.share, len(found.examples), len(found.rows)) == (30, 0.2, 20, 30)
    first = found.examples[0]
    assert (first.row, first.reason) == (120, "the answer says “As an AI language model”")
    assert first.excerpt.startswith("Please say something on matter 0. → As an AI")
