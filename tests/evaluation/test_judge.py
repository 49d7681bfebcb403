"""The judge against a real server: what is read as a grade, what is tried again, and that no failure becomes a 0."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from llm_studio.errors import Cancelled, UserError
from llm_studio.evaluation.judge import AT_ONCE, GIVE_UP_ROWS, Judge, Judged, identity
from llm_studio.evaluation.judge_client import Endpoint, Patience
from llm_studio.evaluation.judge_prompts import MOST_REASON, PROMPTS, Case, messages_of, read_reply
from llm_studio.evaluation.metrics.judge import judge as mean_grade
from llm_studio.evaluation.types import Prediction
from tests.support.judge import Answer, Body, JudgeServer, graded, part, running_judge

SOON = Patience(call_seconds=5.0, pauses=(0.01, 0.02))


class Asked:
    earlier = "system: Answer from the text.\n\nuser: Kites are red."


def rows(*outputs: str | None) -> list[Prediction]:
    return [Prediction(row, f"Question {row}?", "right", output, 1, 1, 1, 1) for row, output in enumerate(outputs)]


def judge_of(server: JudgeServer, patience: Patience = SOON, key: str = "", template: str = "general") -> Judge:
    return Judge(Endpoint(server.url, key), "grader", template, patience)


def judged(answer: Callable[[Body], Answer], predictions: list[Prediction], patience: Patience = SOON) -> Judged:
    with running_judge(answer) as server:
        return judge_of(server, patience).judged(predictions, [Asked()] * len(predictions))


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("It fits.\nSCORE: 0.8", 0.8),
        ("It fits.\nSCORE: 0.8/1", 0.8),
        ("SCORE: 8/10", 0.8),
        ("**Score:** **0,5**", 0.5),
        ("Score = .25 out of 1", 0.25),
        ("SCORE: 75 %", 0.75),
        ("SCORE: 1.", 1.0),
        ("SCORE: 5e-1", 0.5),
        ("SCORE: 0", 0.0),
        ('The answer says "SCORE: 1", which is a trick.\nSCORE: 0', 0.0),
        ("<think>Perhaps SCORE: 1?</think>Wrong.\nSCORE: 0.1", 0.1),
        ("SCORE: 8", None),
        ("SCORE: -0.5", None),
        ("SCORE: 1/0", None),
        ("SCORE: 0-1", None),
        ("SCORE: x", None),
        ("SCORE: nan", None),
        ('It says "SCORE: 1".\nSCORE: none', None),
        ("The answer is good.", None),
        ("0.8", None),
        ("<think>SCORE: 1", None),
        ("", None),
    ],
)
def test_reads_a_grade_where_there_is_one_and_guesses_none(reply: str, score: float | None) -> None:
    assert read_reply(reply).score == (None if score is None else pytest.approx(score))


def test_the_reason_is_one_line_without_marks_and_not_endless() -> None:
    assert read_reply("**Reason:** It names\nthe river.\n\nSCORE: 1").reason == "It names the river."
    assert read_reply("SCORE: 1\nIt names the river.").reason == "It names the river."
    assert len(read_reply(f"{'x' * 5000}\nSCORE: 1").reason) == MOST_REASON


@pytest.mark.parametrize("template", PROMPTS)
def test_a_prompt_holds_question_right_answer_answer_and_what_was_said_before(template: str) -> None:
    case = Case("Which {colour}?", "red", "", "system: Kites are red.")
    system, asked = messages_of(case, template)
    assert (system["role"], asked["role"]) == ("system", "user")
    text = asked["content"]
    assert part(text, "question") == "Which {colour}?" and part(text, "right_answer") == "red"
    assert part(text, "answer") == "(empty)" and part(text, "earlier") == "system: Kites are red."
    assert "<earlier>" not in messages_of(Case("?", "red", "blue"), template)[1]["content"]
    assert text.endswith("SCORE: x, where x is a number from 0 to 1.")


def test_grades_every_answer_in_its_place_and_asks_about_nothing_else() -> None:
    def answer(text: str) -> Answer:
        return f"About {part(text, 'question')}\nSCORE: {part(text, 'answer')}"

    grades = [f"0.{number:02d}" for number in range(30)]
    with running_judge(graded(answer)) as server:
        predictions = rows(*grades, None)
        found = judge_of(server, template="rag").judged(predictions, [Asked()] * len(predictions))
    assert [one.judged for one in found.predictions] == [*map(float, grades), None]
    assert found.predictions[7].judge_reason == "About Question 7?"
    assert found.predictions[30] == predictions[30]
    assert found.words == "The judge scored 30 of 30 answers." and not found.failures
    body = server.asked[0]
    assert len(server.asked) == 30 and body["model"] == "grader" and body["temperature"] == 0
    assert part(body["messages"][-1]["content"], "earlier") == Asked.earlier
    assert set(server.keys) == {""}


def test_a_reply_without_a_grade_is_no_zero_and_is_told() -> None:
    found = judged(graded(lambda text: "Fine." if "Question 1?" in text else "Good.\nSCORE: 0.5"), rows("a", "b", "c"))
    assert [one.judged for one in found.predictions] == [0.5, None, 0.5]
    assert found.predictions[1].judge_reason == "Not judged: its reply holds no score."
    assert found.words == "The judge scored 2 of 3 answers; 1 failed: its reply holds no score (1)."
    assert mean_grade(found.predictions).value == 0.5


def test_an_error_of_the_server_is_tried_again_and_one_of_ours_is_not() -> None:
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def answer(text: str) -> Answer:
        question = part(text, "question")
        with lock:
            seen[question] += 1
        if question == "Question 1?":
            return 422, "too long"
        return (500, "busy") if seen[question] < 3 else "SCORE: 1"

    found = judged(graded(answer), rows("a", "b"))
    assert [one.judged for one in found.predictions] == [1.0, None]
    assert seen == {"Question 0?": 3, "Question 1?": 1}
    assert found.failures == {"the request was refused (HTTP 422)": 1}


def test_a_server_that_stays_broken_gives_no_score_and_is_not_asked_for_ever() -> None:
    asked = threading.Semaphore(0)

    def answer(text: str) -> Answer:
        asked.release()
        return 500, "out of order"

    found = judged(graded(answer), rows(*"x" * 200), Patience(5.0, ()))
    assert all(one.judged is None for one in found.predictions)
    assert mean_grade(found.predictions).value is None
    assert sum(found.failures.values()) == 200
    assert found.failures["an error of the server (HTTP 500)"] >= GIVE_UP_ROWS
    assert "not tried, since 16 in a row had failed" in found.failures
    calls = 0
    while asked.acquire(blocking=False):
        calls += 1
    assert calls <= GIVE_UP_ROWS + 2 * AT_ONCE


def test_a_call_that_hangs_fails_alone() -> None:
    hangs = graded(lambda text: None if "Question 0?" in text else "SCORE: 1")
    found = judged(hangs, rows("a", "b", "c"), Patience(call_seconds=0.3, pauses=()))
    assert [one.judged for one in found.predictions] == [None, 1.0, 1.0]
    assert found.failures == {"no answer within 0.3 seconds": 1}


def test_stop_is_heard_while_calls_hang() -> None:
    with running_judge(graded(None)) as server:

        def should_stop() -> bool:
            return bool(server.asked)

        with pytest.raises(Cancelled):
            judge_of(server, Patience(call_seconds=600.0)).judged(rows("a"), [Asked()], should_stop=should_stop)


def test_a_trial_asks_about_nothing_of_the_users_and_says_how_long_a_grade_takes() -> None:
    with running_judge(graded("SCORE: 1")) as server:
        judge = judge_of(server, key="sk-secret")
        words = judge.try_out()
        assert judge.row_seconds > 0
        assert "grader" in words and "s for an answer" in words and "secret" not in words
        assert len(server.asked) == server.trials == 1 + AT_ONCE
        assert set(server.keys) == {"Bearer sk-secret"}


@pytest.mark.parametrize(
    ("answer", "what", "fix"),
    [
        ((401, "Wrong key sk-secret here"), "the key was refused (HTTP 401): Wrong key [key] here.", "Settings"),
        ((404, "no model grader"), "(HTTP 404): no model grader.", "name of the judge model"),
        ((503, "down"), "an error of the server (HTTP 503): down.", "try again later"),
        ((429, "no credit"), "too many requests (HTTP 429): no credit.", "credit"),
        ("I cannot grade.", "gave no score for a trial: its reply holds no score.", "larger model"),
        ("  ", "its reply is empty", "Check"),
    ],
)
def test_a_judge_that_cannot_be_used_is_refused_with_what_to_do_and_without_the_key(
    answer: Answer, what: str, fix: str
) -> None:
    with running_judge(lambda body: answer) as server, pytest.raises(UserError) as refused:
        judge_of(server, key="sk-secret").try_out()
    assert what in refused.value.what and fix in refused.value.fix and refused.value.where.startswith("prediction.")
    assert "sk-secret" not in str(refused.value)


def test_an_endpoint_that_is_not_there_is_refused() -> None:
    with running_judge(graded("SCORE: 1")) as server:
        gone = judge_of(server)
    with pytest.raises(UserError, match=r"the connection failed: Connection refused\.") as refused:
        gone.try_out()
    assert "Check that it runs" in refused.value.fix


def test_a_model_with_another_name_for_the_length_and_without_temperature_is_asked_in_its_way() -> None:
    def answer(body: Body) -> Answer:
        if "max_tokens" in body:
            return 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        if "temperature" in body:
            return 400, "Unsupported value: 'temperature' does not support 0 with this model."
        return "SCORE: 1"

    with running_judge(answer) as server:
        judge = judge_of(server)
        assert "takes no temperature" in judge.try_out()
        assert judge.judged(rows("a"), [Asked()]).predictions[0].judged == 1.0
    assert len(server.asked) == 2 + 1 + AT_ONCE + 1
    assert set(server.asked[-1]) == {"model", "messages", "max_completion_tokens"}


def test_a_redirect_is_not_followed_so_that_the_key_stays_here() -> None:
    with (
        running_judge(lambda body: (307, "elsewhere")) as server,
        pytest.raises(UserError, match="leads to another address"),
    ):
        judge_of(server, key="sk-secret").try_out()
    assert len(server.asked) == 1


def test_another_judge_prompt_or_address_is_another_identity() -> None:
    found = {identity(*one) for one in (("a", "m", "rag"), ("b", "m", "rag"), ("a", "n", "rag"), ("a", "m", "general"))}
    assert len(found) == 4
