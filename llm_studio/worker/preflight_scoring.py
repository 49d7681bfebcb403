"""Times a small part of an evaluation and tells from it how long the whole one takes."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled
from llm_studio.evaluation.scores import all_scores
from llm_studio.evaluation.scoring import Question, score_rows
from llm_studio.modeling.decoding import DROP_SHARE, joins
from llm_studio.modeling.generation import Fitting, answering_order, generate, most_rows, within_context
from llm_studio.modeling.key_value_cache import bytes_per_token
from llm_studio.tokens.template import Template
from llm_studio.training.forecast import evenly_spread
from llm_studio.worker.preflight_steps import wait

FIRST_ROWS, MOST_ROWS = 8, 256
ENOUGH_SECONDS = 0.6
SHORT_TOKENS = 3
LONGER_TOKENS = (10, 34)
TRIES = 2
TRIED_ROWS = 3
TRIED_SECONDS = 3.0
CHANCE = 0.9
"""From this share of ln(vocabulary) per token on, a backbone knows nothing yet, not even when to end an answer."""

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class ScoringTimes:
    """Seconds of one evaluation: the likelihood of all rows; answers of the tuned model; of the untouched backbone.

    answer_bytes: of a row with a whole answer, for keys and values; more_bytes: what whole answers take of that beyond
    their tried beginnings. answers_at_once: at most.
    """

    likelihood: float
    answers: float
    untouched_answers: float
    generated_rows: int
    answer_bytes: int
    more_bytes: int
    answers_at_once: int


@dataclass(frozen=True)
class Pace:
    """How fast a batch of answers is made. prefill: seconds per prompt token. step: seconds per token of the answers,
    for a batch of `rows`."""

    prefill: float
    step: float
    rows: int


def time_scoring(
    model: Any, template: Template, questions: Sequence[Question], config: ExperimentConfig, *, should_stop: ShouldStop
) -> ScoringTimes:
    """Scores a few rows and generates the beginning of a few answers.

    Raises:
        Cancelled: `should_stop` said so.
    """
    likelihood, chance = time_likelihood(model, template, questions, config, should_stop)
    asked = list(questions[: config.prediction.max_generated_rows or len(questions)])
    expected = [max(1, len(one.sample.input_ids) - len(one.prompt)) for one in asked]
    prompts, limit = [len(one.prompt) for one in asked], config.prediction.max_length_inference
    order = answering_order(prompts, expected, limit)
    at_once = min(len(asked), Fitting(model, config, most_rows(model, config))(max(prompts)))
    pace = time_answers(model, template, [asked[index] for index in order[:at_once]], config, should_stop)
    if config.prediction.num_beams == 1:
        pace = replace(pace, prefill=0.0)  # prompts are read once, with the likelihood of their rows
    targets = [target_tokens(template, one) for one in asked]
    ends = answers_end(model, template, asked, targets, config, should_stop)
    whole, endless, joining = min(limit, max(targets)), [limit] * len(asked), joins(model, config.prediction)

    def seconds(answers: Sequence[int]) -> float:
        steps = steps_of_answers([min(limit, answers[row] + 1) for row in order], at_once, joining, pace.rows)
        return pace.prefill * sum(prompts) + pace.step * steps

    return ScoringTimes(
        likelihood,
        seconds(endless if chance and not ends else targets),
        seconds(targets if ends else endless),
        len(asked),
        bytes_per_token(model) * (max(prompts) + whole),
        bytes_per_token(model) * at_once * max(0, whole - LONGER_TOKENS[-1]),
        most_rows(model, config),
    )


def time_likelihood(
    model: Any, template: Template, questions: Sequence[Question], config: ExperimentConfig, should_stop: ShouldStop
) -> tuple[float, bool]:
    """Seconds for the likelihood of all rows, and whether the backbone knows no more than chance."""
    costs = [float(len(one.sample.input_ids)) for one in questions]
    shortest = config.with_changes(
        {"prediction.max_generated_rows": 1, "prediction.max_length_inference": 1, "prediction.min_length_inference": 0}
    )
    rows = FIRST_ROWS
    score_rows(model, template, [questions[0]], shortest, should_stop=should_stop)  # warms up
    while True:
        chosen = [questions[index] for index in evenly_spread(costs, rows)]
        wait(str(model.device))
        began = time.perf_counter()
        found = score_rows(model, template, chosen, shortest, should_stop=should_stop)
        wait(str(model.device))
        spent = time.perf_counter() - began
        if spent >= ENOUGH_SECONDS or len(chosen) == len(questions) or rows >= MOST_ROWS:
            break
        rows = min(MOST_ROWS, max(2 * rows, math.ceil(rows * ENOUGH_SECONDS / max(spent, 0.01))))
    all_scores(found)  # for the memory of what it brings along
    nats = sum(one.nll_nats for one in found) / max(1, sum(one.answer_tokens for one in found))
    vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 0)) or 2
    share = sum(costs) / max(1.0, sum(float(len(one.sample.input_ids)) for one in chosen))
    return spent * share, nats >= CHANCE * math.log(vocabulary)


def time_answers(
    model: Any, template: Template, questions: Sequence[Question], config: ExperimentConfig, should_stop: ShouldStop
) -> Pace:
    """Answers of two lengths, both forced, tell a prompt's share from that of a token; the faster of two tries counts,
    since other work on the machine only ever takes time."""
    prompts = [one.prompt for one in questions]

    def spent(tokens: int) -> float:
        forced = {
            "prediction.max_length_inference": tokens,
            "prediction.min_length_inference": tokens,
            "prediction.batch_size_inference": len(prompts),
            "prediction.stop_tokens": "",
            "prediction.max_time": 0.0,
        }
        began = time.perf_counter()
        generate(model, template, prompts, config.with_changes(forced), should_stop=should_stop)
        wait(str(model.device))
        return time.perf_counter() - began

    spent(1)  # warms up
    short = min(spent(SHORT_TOKENS) for _ in range(TRIES))
    for tokens in LONGER_TOKENS:
        longer = spent(tokens)
        if longer >= ENOUGH_SECONDS:
            break
    else:
        longer = min(longer, spent(tokens))
    step = max(0.0, longer - short) / (tokens - SHORT_TOKENS)
    prefill = max(0.0, short - SHORT_TOKENS * step) / max(1, sum(map(len, prompts)))
    return Pace(prefill, step, len(prompts))


def answers_end(
    model: Any,
    template: Template,
    questions: Sequence[Question],
    targets: Sequence[int],
    config: ExperimentConfig,
    should_stop: ShouldStop,
) -> bool:
    """Whether the model, as it is, ends its answers at about the length of the right ones."""
    limit = config.prediction.max_length_inference
    tokens = min(limit, 2 * max(targets) + 2)
    if tokens == limit:
        return True  # then it makes little difference
    for index in evenly_spread([float(len(one.prompt)) for one in questions], TRIED_ROWS):
        if should_stop():
            raise Cancelled
        prompt = within_context(model, questions[index].prompt, tokens)
        with torch.inference_mode():
            made = model.generate(
                input_ids=torch.tensor([list(prompt)], device=model.device),
                max_new_tokens=tokens,
                max_time=TRIED_SECONDS,
                do_sample=False,
                eos_token_id=list(template.stop_ids) or None,
                pad_token_id=template.pad_id,
            )
        if int(made[0, -1]) not in template.stop_ids:
            return False
    return True


def steps_of_answers(answers: Sequence[int], at_once: int, joining: bool, full: int) -> float:
    """Tokens drawn one after the other until all rows have ended, counted as tokens of a batch of `full` rows.

    answers: tokens of each, in the order in which they are begun. joining: whether rows take the places of ended ones.
    A token of a batch with fewer rows costs between a share of them and as much as of a full one: the middle is taken.
    """
    waiting, left, total = deque(answers), list[int](), 0.0
    while waiting or left:
        free = at_once - len(left)
        if not left or (joining and free >= DROP_SHARE * at_once):
            left += [waiting.popleft() for _ in range(min(free, len(waiting)))]
        now = min(left)
        total += now * (0.5 + 0.5 * min(1.0, len(left) / max(1, full)))
        left = [tokens - now for tokens in left if tokens > now]
    return total


def target_tokens(template: Template, question: Question) -> int:
    """Tokens of the right answer."""
    return len(template.tokenizer.encode(question.target, add_special_tokens=False))
