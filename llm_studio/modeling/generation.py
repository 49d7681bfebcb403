"""Answers many prompts at once: sorted by length, padded on the left, ended by token ids and stop texts."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled
from llm_studio.tokens.template import Template

BATCH_TOKENS = {"cpu": 6_000, "cuda": 32_000}
LARGEST_BATCH = 64


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
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Answers in the order of the prompts, without special tokens, cut at stop texts and stripped.

    Raises:
        Cancelled: `should_stop` said so between two tokens.
    """
    kind = "cuda" if str(model.device).startswith("cuda") else "cpu"
    longest = config.prediction.max_length_inference
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    answers = [""] * len(prompts)
    done = 0
    while done < len(order):
        size = config.prediction.batch_size_inference or max(
            1, min(LARGEST_BATCH, BATCH_TOKENS[kind] // (len(prompts[order[done]]) + longest // 2))
        )
        chosen = order[done : done + size]
        stop = _Stop(should_stop)
        made = _generate_batch(model, template, [prompts[index] for index in chosen], config, stop)
        if stop.stopped:
            raise Cancelled
        for index, text in zip(chosen, made, strict=True):
            answers[index] = cut_at(text, template.stop_texts).strip()
        done += len(chosen)
        report(done)
    return answers


def _generate_batch(
    model: Any, template: Template, prompts: Sequence[Sequence[int]], config: ExperimentConfig, stop: _Stop
) -> list[str]:
    prediction = config.prediction
    prompts = [within_context(model, prompt, prediction.max_length_inference) for prompt in prompts]
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[template.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if prediction.do_sample:
        drawn = {
            "do_sample": True,
            "temperature": prediction.temperature,
            "top_p": prediction.top_p,
            "top_k": prediction.top_k,
        }
    if template.stop_texts:
        drawn |= {"stop_strings": list(template.stop_texts), "tokenizer": template.tokenizer}
    with torch.inference_mode():
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
    answers = [until(answer, template.stop_ids) for answer in made[:, width:].tolist()]
    return [str(text) for text in template.tokenizer.batch_decode(answers, skip_special_tokens=True)]


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
