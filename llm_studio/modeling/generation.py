"""Answers many prompts at once: sorted by length, in batches as large as memory allows, cut at stop texts."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.decoding import Ending, decode
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
) -> list[str]:
    """Answers in the order of the prompts, without special tokens, cut at stop texts and stripped.

    expected_tokens: about how long each answer will be, such as its target; rows that end together go together.
    limits: the longest answer of each row, that of the settings by default.
    reading: what reads the prompts of the rows with these numbers; beams read them by themselves.

    Raises:
        Cancelled: `should_stop` said so between two tokens. UserError: memory does not suffice for a single row.
    """
    longest = config.prediction.max_length_inference
    limits = limits or [longest] * len(prompts)
    cut = [within_context(model, prompt, longest) for prompt in prompts]
    expected = expected_tokens or [longest] * len(cut)
    waiting = answer_batches(model, [len(prompt) for prompt in cut], expected, config)
    answers, done = [""] * len(cut), 0
    while waiting:
        chosen = waiting.pop(0)
        asked = [cut[index] for index in chosen]
        most = [limits[index] for index in chosen]
        try:
            with merged_for_a_while(model):
                made = _answers(model, template, asked, chosen, most, config, should_stop, reading(chosen))
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            made = None
        if made is None:
            size = smaller(model, len(chosen), max(map(len, asked)) + longest)
            waiting = [part[at : at + size] for part in (chosen, *waiting) for at in range(0, len(part), size)]
            continue
        for index, text in zip(chosen, made, strict=True):
            answers[index] = cut_at(text, template.stop_texts).strip()
        done += len(chosen)
        report(done)
    return answers


def answer_batches(
    model: Any, prompts: Sequence[int], expected: Sequence[int], config: ExperimentConfig
) -> list[list[int]]:
    """The rows that are answered together, the longest first. prompts, expected: tokens of prompts and of answers."""
    longest, wanted = config.prediction.max_length_inference, config.prediction.batch_size_inference
    order = sorted(range(len(prompts)), key=lambda index: -(prompts[index] + min(longest, expected[index])))
    largest = wanted or MOST_ROWS["cuda" if model.device.type == "cuda" else "cpu"]
    batches: list[list[int]] = []
    while order:
        width = max(prompts[index] for index in order[:largest])
        size = min(largest, wanted or rows_at_once(model, width + longest))
        batches.append(order[:size])
        order = order[size:]
    return batches


def rows_at_once(model: Any, tokens: int) -> int:
    """How many rows of so many tokens fit into the free memory, at least 1."""
    kind = "cuda" if model.device.type == "cuda" else "cpu"
    free = torch.cuda.mem_get_info(model.device)[0] if kind == "cuda" else psutil.virtual_memory().available
    logits = 4 * 4 * int(getattr(model.config.get_text_config(), "vocab_size", 32_000))
    return max(1, int(free * SHARE_OF_FREE[kind]) // (2 * tokens * bytes_per_token(model) + logits))


def smaller(model: Any, rows: int, tokens: int) -> int:
    """Half as many rows, after memory ran out.

    Raises:
        UserError: it was a single row.
    """
    if rows == 1:
        raise UserError(
            f"{model.device} ran out of memory while it answered a single row of {tokens:,} tokens.",
            where="prediction.max_length_inference",
            fix="Lower the longest answer or the longest conversation, or load the backbone in int8 or int4.",
        )
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    return rows // 2


def _answers(
    model: Any,
    template: Template,
    prompts: Sequence[Sequence[int]],
    numbers: Sequence[int],
    limits: Sequence[int],
    config: ExperimentConfig,
    should_stop: Callable[[], bool],
    reads: Read,
) -> list[str]:
    """Answers of one batch; numbers: of the rows among all, which seed what is drawn for them."""
    if config.prediction.num_beams > 1:
        made = _with_beams(model, template, prompts, config, should_stop)
    else:
        seed = config.environment.seed
        draws = [int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) for number in numbers]

        def has_text(ids: Sequence[int]) -> bool:
            text = template.tokenizer.decode(ids, skip_special_tokens=True)
            return any(stop in text for stop in template.stop_texts)

        ending = Ending(tuple(template.stop_ids), has_text if template.stop_texts else None, template.pad_id)
        made = decode(
            model, prompts, config.prediction, ending,
            draws=draws, limits=limits, should_stop=should_stop, reads=reads,
        )  # fmt: skip
    return [str(text) for text in template.tokenizer.batch_decode(made, skip_special_tokens=True)]


def _with_beams(
    model: Any,
    template: Template,
    prompts: Sequence[Sequence[int]],
    config: ExperimentConfig,
    should_stop: Callable[[], bool],
) -> list[list[int]]:
    """Token ids of the answers by transformers' beam search."""
    prediction, stop = config.prediction, _Stop(should_stop)
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
            max_new_tokens=prediction.max_length_inference,
            min_new_tokens=prediction.min_length_inference or None,
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
    """The end of the prompt that leaves room for the answer; whole where the backbone names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not limit or len(prompt) + answer_tokens <= limit:
        return prompt
    return prompt[-max(1, limit - answer_tokens) :]


def until(ids: Sequence[int], stops: Sequence[int]) -> list[int]:
    """The tokens before the first one that ends an answer, whether the tokenizer counts it as special or not."""
    return list(itertools.takewhile(lambda token: token not in stops, ids))


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stop texts."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text
