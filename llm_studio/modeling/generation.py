"""Answers many prompts at once: sorted by length, in batches as large as memory allows, cut at stop texts."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.answering import Asked
from llm_studio.modeling.decoding import Ending, decode, joins
from llm_studio.modeling.devices import free_bytes
from llm_studio.modeling.key_value_cache import bytes_per_token
from llm_studio.modeling.loading import is_out_of_memory
from llm_studio.modeling.merged_for_a_while import merged_for_a_while
from llm_studio.modeling.prefill import Read, read
from llm_studio.tokens.template import Template

SHARE_OF_FREE = {"cpu": 0.3, "cuda": 0.7}
"""Of the free memory, for keys and values and logits."""
MOST_ROWS = {"cpu": 128, "cuda": 256}
"""More at once gains nothing measurable."""


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends generation when `asked` says so; looked at after every token."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self.stopped = False

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self.stopped = self.stopped or self._asked()
        return torch.full((input_ids.shape[0],), self.stopped, dtype=torch.bool, device=input_ids.device)


def generate(
    model: Any,
    template: Template,
    prompts: Sequence[Sequence[int]],
    config: ExperimentConfig,
    *,
    expected_tokens: Sequence[int] | None = None,
    limits: Sequence[int] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda done: None,
    reading: Callable[[Sequence[int]], Read] = lambda numbers: read,
    in_step: bool = False,
) -> list[str]:
    """Answers in the order of the prompts, without special tokens, cut at stop texts and stripped.

    expected_tokens: about how long each answer will be, such as its target; rows that end together go together.
    limits: the longest answer of each row, that of the settings by default.
    reading: what reads the prompts of the rows with these numbers; beams read them by themselves.
    in_step: other processes do the very same, so that this one does not go on by itself with fewer rows.

    Raises:
        Cancelled: `should_stop` said so between two tokens. UserError: memory does not suffice, for a single row or,
        where processes are in step, for so many.
    """
    longest = config.prediction.max_length_inference
    cut = [within_context(model, prompt, longest) for prompt in prompts]
    most_tokens = [longest_answer(model, prompt, longest) for prompt in cut]
    limits = [min(most, limit) for most, limit in zip(most_tokens, limits or most_tokens, strict=True)]
    order = answering_order([len(prompt) for prompt in cut], expected_tokens or [longest] * len(cut), longest)
    answers: dict[int, str] = {}

    def answered(number: int, ids: Sequence[int]) -> None:
        text = str(template.tokenizer.decode(ids, skip_special_tokens=True))
        answers[number] = cut_at(text, template.stop_texts).strip()
        report(len(answers))

    most = most_rows(model, config)
    while len(answers) < len(cut):
        left = [
            Asked(number, cut[number], seed_of(config, number), limits[number])
            for number in order
            if number not in answers
        ]
        fits = Fitting(model, config, min(most, len(left)))
        try:
            with merged_for_a_while(model):
                _answer(model, template, left, config, fits, answered, should_stop, reading)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            full = True
        else:
            full = False
        if full:  # no longer in the handler, whose traceback holds the memory
            most = smaller(model, fits.rows, max(len(row.prompt) for row in left) + longest, in_step=in_step)
    return [answers[number] for number in range(len(cut))]


def _answer(
    model: Any,
    template: Template,
    asked: Sequence[Asked],
    config: ExperimentConfig,
    at_once: Callable[[int], int],
    answered: Callable[[int, list[int]], None],
    should_stop: Callable[[], bool],
    reading: Callable[[Sequence[int]], Read],
) -> None:
    """Token ids of all answers, told as they end; arguments as of `decode`."""
    if config.prediction.num_beams > 1:
        _with_beams(model, template, asked, config, at_once, answered, should_stop)
        return
    decode(
        model, asked, config.prediction, ending_of(template),
        at_once=at_once, answered=answered, should_stop=should_stop, reading=reading,
    )  # fmt: skip


def answering_words(model: Any, config: ExperimentConfig, prompts: Sequence[int]) -> str:
    """How many rows are answered at once, and why, in a sentence. prompts: their tokens, at least one."""
    most = most_rows(model, config)
    rows = min(len(prompts), Fitting(model, config, most)(max(prompts)))
    if config.prediction.batch_size_inference:
        why = "as set"
    elif rows == len(prompts):
        why = "all of them"
    else:
        why = "since more gain nothing" if rows == most else "which is what the free memory holds"
    joining = rows < len(prompts) and joins(model, config.prediction)
    return f"{rows} rows are answered at once, {why}{'; others take the places of ended ones' if joining else ''}."


def answering_order(prompts: Sequence[int], expected: Sequence[int], longest: int) -> list[int]:
    """Numbers of the rows, the longest first. prompts, expected: tokens of prompts and of answers."""
    return sorted(range(len(prompts)), key=lambda row: -(prompts[row] + min(longest, expected[row])))


def most_rows(model: Any, config: ExperimentConfig) -> int:
    """Rows that are answered at once at most, whatever the memory."""
    return config.prediction.batch_size_inference or MOST_ROWS["cuda" if model.device.type == "cuda" else "cpu"]


class Fitting:
    """How many rows are answered at once: `most`, or fewer where the memory that is free now does not suffice, unless
    their number is set. rows: what was said last."""

    def __init__(self, model: Any, config: ExperimentConfig, most: int) -> None:
        share = SHARE_OF_FREE["cuda" if model.device.type == "cuda" else "cpu"]
        self.rows = most
        self._most, self._set = most, bool(config.prediction.batch_size_inference)
        self._longest = config.prediction.max_length_inference
        self._room = int(free_bytes(str(model.device)) * share)
        self._token = 2 * bytes_per_token(model) * config.prediction.num_beams
        """Twice: rows that join are laid beside the others anew, and so are beams that change places."""
        self._logits = 4 * 4 * int(getattr(model.config.get_text_config(), "vocab_size", 32_000))

    def __call__(self, width: int) -> int:
        """At least 1. width: tokens of the widest row so far, to which a whole answer may come."""
        fitting = self._room // ((width + self._longest) * self._token + self._logits)
        self.rows = self._most if self._set else max(1, min(self._most, fitting))
        return self.rows


def smaller(model: Any, rows: int, tokens: int, *, in_step: bool) -> int:
    """Half as many rows, after memory ran out.

    Raises:
        UserError: it was a single row, or other processes are in step.
    """
    if rows == 1 or in_step:
        fewer = "Lower the evaluation batch size, or lower" if rows > 1 else "Lower"
        which = "a single row" if rows == 1 else f"{rows} rows at once"
        raise UserError(
            f"{model.device} ran out of memory while it answered {which}, of up to {tokens:,} tokens each.",
            where="prediction.batch_size_inference" if rows > 1 else "prediction.max_length_inference",
            fix=f"{fewer} the longest answer or the longest conversation, or load the backbone in int8 or int4.",
        )
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    return rows // 2


def seed_of(config: ExperimentConfig, number: int) -> int:
    """What is drawn for a row goes by its number alone, not by the rows beside it."""
    return int(np.random.SeedSequence((config.environment.seed, number)).generate_state(1)[0])


def ending_of(template: Template) -> Ending:
    """What ends an answer by the template's stop tokens and texts."""

    def has_text(ids: Sequence[int]) -> bool:
        text = template.tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in template.stop_texts)

    return Ending(tuple(template.stop_ids), has_text if template.stop_texts else None, template.pad_id)


def _with_beams(
    model: Any,
    template: Template,
    asked: Sequence[Asked],
    config: ExperimentConfig,
    at_once: Callable[[int], int],
    answered: Callable[[int, list[int]], None],
    should_stop: Callable[[], bool],
) -> None:
    """Answers by transformers' beam search, batch after batch; arguments as of `decode`."""
    waiting = list(asked)
    while waiting:
        alike = [
            row for row in waiting if row.limit == waiting[0].limit
        ]  # one length for a batch: the context bounds it
        batch = alike[: at_once(max(len(row.prompt) for row in alike))]
        waiting = [row for row in waiting if row not in batch]
        made = _batch_with_beams(model, template, batch, config, should_stop)
        for row, ids in zip(batch, made, strict=True):
            answered(row.number, ids)


def _batch_with_beams(
    model: Any,
    template: Template,
    asked: Sequence[Asked],
    config: ExperimentConfig,
    should_stop: Callable[[], bool],
) -> list[list[int]]:
    """Token ids of the answers by transformers' beam search; rows of one limit."""
    prediction, stop = config.prediction, _Stop(should_stop)
    prompts = [row.prompt for row in asked]
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[template.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if prediction.do_sample:
        drawn = {"do_sample": True} | {name: getattr(prediction, name) for name in ("temperature", "top_p", "top_k")}
    if template.stop_texts:
        drawn |= {"stop_strings": list(template.stop_texts), "tokenizer": template.tokenizer}
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(devices):
        torch.manual_seed(config.environment.seed)
        made = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=asked[0].limit,
            min_new_tokens=min(prediction.min_length_inference, asked[0].limit) or None,
            max_time=prediction.max_time or None,
            num_beams=prediction.num_beams,
            repetition_penalty=prediction.repetition_penalty,
            eos_token_id=list(template.stop_ids) or None,
            pad_token_id=template.pad_id,
            use_cache=True,
            stopping_criteria=StoppingCriteriaList([stop]),
            **drawn,
        )
    if stop.stopped:
        raise Cancelled
    return [until(answer, template.stop_ids) for answer in made[:, width:].tolist()]


def within_context(model: Any, prompt: Sequence[int], answer_tokens: int) -> Sequence[int]:
    """The prompt; of one that leaves no room for an answer the end, with room for so many tokens, but for half of the
    context at most."""
    limit = context_of(model)
    if not limit or len(prompt) < limit:
        return prompt
    return prompt[-max(1, limit - min(answer_tokens, limit // 2)) :]


def longest_answer(model: Any, prompt: Sequence[int], wanted: int) -> int:
    """Tokens of the longest answer behind a prompt: `wanted`, or what the context leaves, so that no answer costs a
    prompt its beginning."""
    limit = context_of(model)
    return min(wanted, max(1, limit - len(prompt))) if limit else wanted


def context_of(model: Any) -> int:
    """Tokens that the backbone can read at once; 0 where it names no limit."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0)


def until(ids: Sequence[int], stops: Sequence[int]) -> list[int]:
    """The tokens before the first one that ends an answer, whether the tokenizer counts it as special or not."""
    return list(itertools.takewhile(lambda token: token not in stops, ids))


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stop texts."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text
