"""Scores rows with a model: likelihood of the right answers for all of them, generated answers for some.

These are two passes. Sharing the keys and values of the prompts would save reading them twice, which is little beside
the answers, drawn token by token, and would force one batch size on both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation
from llm_studio.errors import Cancelled
from llm_studio.evaluation.types import Prediction
from llm_studio.modeling.attention import takes_logits_to_keep
from llm_studio.modeling.generation import generate
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template

LOGIT_ELEMENTS = {"cpu": 2**24, "cuda": 2**28}
"""Logits in memory at once: rows of a batch x tokens x vocabulary."""


@dataclass(frozen=True)
class Question:
    """A row to score: its tokens, and the conversation up to the last answer."""

    sample: Sample
    prompt: tuple[int, ...]
    prompt_text: str
    target: str


def make_questions(
    template: Template, conversations: Sequence[Conversation], samples: Sequence[Sample]
) -> list[Question]:
    """The rows that end with an answer, as tokens; others cannot be scored and are left out.

    samples: those of the conversations, by `template.for_scoring()`, so that no row is left out for its length.

    Raises:
        UserError: the template refuses a row.
    """
    questions = []
    for conversation, sample in zip(conversations, samples, strict=True):
        messages = list(conversation.messages)
        while messages and messages[-1].role != "assistant":
            messages.pop()
        if not messages:
            continue
        asked = messages[:-1]
        ids: list[int] = []
        if asked or conversation.plain:
            ids = template.prompt_ids(asked, tools=conversation.tools, plain=conversation.plain, row=conversation.row)
        shown = asked[-1].content if asked else ""
        questions.append(Question(sample, tuple(ids or [template.pad_id]), shown, messages[-1].text))
    return questions


def score_rows(
    model: Any,
    template: Template,
    questions: Sequence[Question],
    config: ExperimentConfig,
    *,
    autocast: torch.dtype | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda words: None,
) -> list[Prediction]:
    """One prediction per row, in their order.

    The first `prediction.max_generated_rows` rows get a generated answer, always the same ones; all where it is 0, that
    is, where nobody has chosen yet (`config/generated_rows.py`).

    Raises:
        Cancelled: `should_stop` said so.
    """
    was_training = model.training
    model.eval()
    try:
        likelihoods = log_likelihoods(model, template, questions, autocast, should_stop, report)
        most = config.prediction.max_generated_rows or len(questions)
        chosen = list(questions[:most])
        report(f"Generating answers: 0 of {len(chosen)} rows")
        outputs = generate(
            model,
            template,
            [question.prompt for question in chosen],
            config,
            expected_tokens=[max(1, len(question.sample.input_ids) - len(question.prompt)) for question in chosen],
            should_stop=should_stop,
            report=lambda done: report(f"Generating answers: {done} of {len(chosen)} rows"),
        )
    finally:
        model.train(was_training)
    return [
        replace(prediction, output=outputs[index] if index < len(outputs) else None)
        for index, prediction in enumerate(likelihoods)
    ]


def log_likelihoods(
    model: Any,
    template: Template,
    questions: Sequence[Question],
    autocast: torch.dtype | None,
    should_stop: Callable[[], bool],
    report: Callable[[str], None],
) -> list[Prediction]:
    """Predictions without outputs: summed nats of answers and of learned tokens."""
    kind = "cuda" if str(model.device).startswith("cuda") else "cpu"
    vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 32_000))
    order = sorted(range(len(questions)), key=lambda index: -len(questions[index].sample.input_ids))
    found: list[Prediction | None] = [None] * len(questions)
    done = 0
    while done < len(order):
        if should_stop():
            raise Cancelled
        report(f"Scoring: {done} of {len(order)} rows")
        longest = max(1, len(questions[order[done]].sample.input_ids))
        size = max(1, LOGIT_ELEMENTS[kind] // (longest * vocabulary))
        chosen = order[done : done + size]
        nats = _batch_nats(model, template, [questions[index].sample for index in chosen], autocast, kind)
        for index, (answer, learned) in zip(chosen, nats, strict=True):
            question = questions[index]
            found[index] = Prediction(
                row=question.sample.row,
                prompt=question.prompt_text,
                target=question.target,
                output=None,
                nll_nats=answer,
                answer_tokens=sum(label != IGNORE_INDEX for label in question.sample.answer_labels),
                loss_nats=learned,
                loss_tokens=question.sample.learned_tokens,
            )
        done += len(chosen)
    return [prediction for prediction in found if prediction is not None]


def _batch_nats(
    model: Any, template: Template, samples: Sequence[Sample], autocast: torch.dtype | None, kind: str
) -> list[tuple[float, float]]:
    """(nats of answers, nats of learned tokens) of each sample; logits only where the next token counts in some row."""
    width = max(len(sample.input_ids) for sample in samples)
    ids = torch.full((len(samples), width), template.pad_id)
    mask = torch.zeros((len(samples), width), dtype=torch.long)
    labels = torch.full((2, len(samples), width), IGNORE_INDEX)
    for index, sample in enumerate(samples):
        length = len(sample.input_ids)
        ids[index, :length] = torch.tensor(sample.input_ids)
        mask[index, :length] = 1
        labels[0, index, :length] = torch.tensor(sample.answer_labels)
        labels[1, index, :length] = torch.tensor(sample.labels)
    counts = labels[:, :, 1:] != IGNORE_INDEX
    columns = counts.any(0).any(0).nonzero()[:, 0]
    if not len(columns):
        return [(0.0, 0.0)] * len(samples)
    device, keeps = model.device, takes_logits_to_keep(model)
    ids, columns = ids.to(device), columns.to(device)
    kept = {"logits_to_keep": columns} if keeps else {}
    with torch.inference_mode(), torch.autocast(kind, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits = model(input_ids=ids, attention_mask=mask.to(device), use_cache=False, **kept).logits
    logits = (logits if keeps else logits[:, columns]).float()
    spent = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:][:, columns].flatten(), reduction="none"
    ).view(len(samples), -1)
    sums = (spent.unsqueeze(0).double() * counts.to(device)[:, :, columns]).sum(-1).tolist()
    return list(zip(sums[0], sums[1], strict=True))
