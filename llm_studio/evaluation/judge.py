"""Has generated answers graded by a language model: several calls at once, bounded in time, and no failure is a 0."""

import hashlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from llm_studio.errors import Cancelled, UserError
from llm_studio.evaluation.judge_client import CallFailed, Endpoint, JudgeClient, Patience
from llm_studio.evaluation.judge_prompts import FORM, PROMPTS, SYSTEM, Case, Verdict, messages_of, read_reply
from llm_studio.evaluation.types import Prediction

METRIC = "gpt"
AT_ONCE = 8
LEAST_LIMIT_SECONDS, ROW_LIMIT_SECONDS = 300.0, 20.0
"""All calls of an evaluation may take so long, whatever is more: at least, and for each row."""
GIVE_UP_ROWS = 2 * AT_ONCE
"""Rows that fail behind each other until the rest is left out: then the endpoint is gone, and each try costs time."""
LOOK_SECONDS = 0.1
TRIAL = Case(
    question="Which river flows through Vienna, and into which sea does it flow?",
    target="The Danube, which flows into the Black Sea.",
    answer="It is the Danube. It ends in the Black Sea.",
)
"""What the endpoint is tried with: nothing of the user's."""
WHERE = "prediction.metric"


Outcome = Verdict | CallFailed


class Asked(Protocol):
    """What of a row the judge needs beside its prediction, as `scoring.Question`."""

    @property
    def earlier(self) -> str:
        """What was said before the question."""


@dataclass(frozen=True)
class Judged:
    """predictions: in their order, those that have an answer with a verdict. failures: why rows have no score, and how
    many for each reason."""

    predictions: list[Prediction]
    answered: int
    failures: Mapping[str, int]

    @property
    def words(self) -> str:
        """ "The judge scored 38 of 40 answers; 2 failed: no answer within 60 seconds (2)." """
        failed = sum(self.failures.values())
        counted = f"The judge scored {self.answered - failed:,} of {self.answered:,} answers"
        if not failed:
            return f"{counted}."
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in Counter(self.failures).most_common(3))
        return f"{counted}; {failed:,} failed: {reasons}."


class Judge:
    """A model behind an endpoint, with a prompt of `PROMPTS`. row_seconds: of one answer while several are judged at
    once, as `try_out` measured it."""

    def __init__(self, endpoint: Endpoint, model: str, template: str, patience: Patience | None = None) -> None:
        self.endpoint = endpoint
        self.model = model
        self.template = template
        self.row_seconds = 0.0
        self.identity = identity(endpoint.url, model, template)
        self._client = JudgeClient(endpoint, patience)

    def try_out(self, should_stop: Callable[[], bool] = lambda: False) -> str:
        """One call, then some at once to learn how long they take; what is worth knowing of it, in a sentence or two.

        Raises:
            UserError: the endpoint does not answer, refuses the key or the model, or its reply holds no score.
            Cancelled: `should_stop` said so.
        """
        found = self._outcomes([TRIAL], should_stop)[0]
        if isinstance(found, CallFailed):
            raise refused(self.endpoint, found, self.model)
        if found.score is None:
            raise UserError(
                f"The judge {self.model} at {self.endpoint.host} gave no score for a trial: {found.reason}.",
                where="prediction.metric_gpt_model",
                fix="Choose a larger model, which keeps to the form that it is asked for.",
            )
        began = time.monotonic()
        self._outcomes([TRIAL] * AT_ONCE, should_stop)
        self.row_seconds = (time.monotonic() - began) / AT_ONCE
        pace = f"{self.row_seconds:.2g} s for an answer, {AT_ONCE} at once"
        steady = "" if self._client.is_steady else " It takes no temperature, so its scores vary a little."
        return f"Judge {self.model} at {self.endpoint.host}, prompt {self.template}: {pace}.{steady}"

    def judged(
        self,
        predictions: Sequence[Prediction],
        questions: Sequence[Asked],
        *,
        should_stop: Callable[[], bool] = lambda: False,
        report: Callable[[str], None] = lambda words: None,
    ) -> Judged:
        """The predictions with the verdicts on those that have an answer. questions: of the same rows.

        Raises:
            Cancelled: `should_stop` said so.
        """
        rows = [row for row, one in enumerate(predictions) if one.output is not None]
        cases = [case_of(predictions[row], questions[row]) for row in rows]

        def tell(done: int) -> None:
            report(f"Judging answers: {done} of {len(cases)} rows")

        found, failures = list(predictions), Counter[str]()
        for row, outcome in zip(rows, self._outcomes(cases, should_stop, tell), strict=True):
            verdict = Verdict(None, outcome.words) if isinstance(outcome, CallFailed) else outcome
            reason = verdict.reason
            if verdict.score is None:
                failures[reason] += 1
                reason = f"Not judged: {reason}."
            found[row] = replace(found[row], judged=verdict.score, judge_reason=reason)
        return Judged(found, len(rows), failures)

    def _outcomes(
        self,
        cases: Sequence[Case],
        should_stop: Callable[[], bool],
        tell: Callable[[int], None] = lambda done: None,
    ) -> list[Outcome]:
        """In threads that nobody waits for: a call that hangs holds up neither the evaluation nor the end of the
        process."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        told: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        ended = threading.Event()
        for number in range(len(cases)):
            waiting.put(number)

        def work() -> None:
            while not ended.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                told.put((number, self._outcome(cases[number], ended)))

        for _ in range(min(AT_ONCE, len(cases))):
            threading.Thread(target=work, daemon=True).start()
        try:
            found, why = _collected(told, len(cases), should_stop, tell)
        finally:
            ended.set()
        return [found.get(number, CallFailed(why)) for number in range(len(cases))]

    def _outcome(self, case: Case, ended: threading.Event) -> Outcome:
        try:
            return read_reply(self._client.ask(self.model, messages_of(case, self.template), ended.wait))
        except CallFailed as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - else its row would be waited for
            return CallFailed(f"{type(error).__name__} in the call")


def case_of(prediction: Prediction, question: Asked) -> Case:
    """What the judge sees of a row."""
    return Case(prediction.prompt, prediction.target, prediction.output or "", question.earlier)


def _collected(
    told: "queue.SimpleQueue[tuple[int, Outcome]]",
    wanted: int,
    should_stop: Callable[[], bool],
    tell: Callable[[int], None],
) -> tuple[dict[int, Outcome], str]:
    """What became of the rows, by number, and why the rest is missing."""
    limit = max(LEAST_LIMIT_SECONDS, ROW_LIMIT_SECONDS * wanted)
    until = time.monotonic() + limit
    found: dict[int, Outcome] = {}
    failed = 0
    while len(found) < wanted:
        if should_stop():
            raise Cancelled
        if time.monotonic() > until:
            return found, f"not done within {limit / 60:.0f} minutes"
        if failed >= GIVE_UP_ROWS:
            return found, f"not tried, since {GIVE_UP_ROWS} in a row had failed"
        tell(len(found))
        try:
            number, outcome = told.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        found[number] = outcome
        failed = failed + 1 if isinstance(outcome, CallFailed) or outcome.score is None else 0
    return found, ""


def identity(url: str, model: str, template: str) -> str:
    """Changes with all that shapes a grade: who judges, and by which words."""
    words = hashlib.sha256("\n".join((SYSTEM, PROMPTS[template], FORM)).encode()).hexdigest()[:8]
    return f"{url} {model} {template} {words}"


def refused(endpoint: Endpoint, failure: CallFailed, model: str = "") -> UserError:
    """Why the endpoint cannot judge, and what to do about it."""
    fix = {
        0: "Check that it runs and that its address under Settings is right.",
        400: "Check the name of the judge model.",
        401: "Set its key under Settings, or as OPENAI_API_KEY.",
        403: "Set its key under Settings, or as OPENAI_API_KEY.",
        404: "Check the name of the judge model, and the address under Settings: most end in /v1.",
        429: "Wait, or look at the limits and the credit of your account there.",
    }.get(failure.status, "Check the address under Settings, or try again later.")
    who = f"The judge {model} at {endpoint.host}" if model else f"The endpoint {endpoint.host}"
    return UserError(
        f"{who} cannot be used: {failure.sentence.rstrip('.')}.",
        where=WHERE if model else "Judge",
        fix=f"{fix} Or choose another metric." if model else fix,
    )
