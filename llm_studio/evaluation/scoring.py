"""Scores rows with a model: likelihood of the right answers for all of them, generated answers for some.

Rows that get an answer are read once for both, see `reading_once`; the others follow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled
from llm_studio.evaluation.nats import LOGIT_ELEMENTS, lay
from llm_studio.evaluation.reading_once import ReadsOnce
from llm_studio.evaluation.types import Prediction
from llm_studio.modeling.attention import takes_logits_to_keep
from llm_studio.modeling.generation import generate
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template


@dataclass(frozen=True)
class Question:
    """A row to score: its tokens, and the conversation up to the last answer. before: the messages before the last one
    that is asked."""

    sample: Sample
    prompt: tuple[int, ...]
    prompt_text: str
    target: str
    before: tuple[Message, ...] = ()

    @property
    def earlier(self) -> str:
        """What was said before the question, for whoever judges an answer."""
        return "\n\n".join(f"{message.role}: {message.text}" for message in self.before)


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
        questions.append(Question(sample, tuple(ids or [template.pad_id]), shown, messages[-1].text, tuple(asked[:-1])))
    return questions


def score_rows(
    model: Any,
    template: Template,
    questions: Sequence[Question],
    config: ExperimentConfig,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda words: None,
    in_step: bool = False,
) -> list[Prediction]:
    """One prediction per row, in their order.

    The first `prediction.max_generated_rows` rows get a generated answer, always the same ones; all where it is 0, that
    is, where nobody has chosen yet (`config/generated_rows.py`).

    in_step: as for `generate`.

    Raises:
        Cancelled: `should_stop` said so. UserError: memory does not suffice.
    """
    was_training = model.training
    model.eval()
    once = ReadsOnce(questions, template.pad_id)
    try:
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
            reading=once.of,
            in_step=in_step,
        )
        rest = [number for number in range(len(questions)) if number not in once.nats]
        others = log_likelihoods(model, template, [questions[number] for number in rest], should_stop, report)
    finally:
        model.train(was_training)
    nats = once.nats | dict(zip(rest, others, strict=True))
    return [
        prediction_of(question, nats[number], outputs[number] if number < len(outputs) else None)
        for number, question in enumerate(questions)
    ]


def prediction_of(question: Question, nats: tuple[float, float], output: str | None) -> Prediction:
    """nats: of the answer, of all learned tokens."""
    sample = question.sample
    return Prediction(
        row=sample.row,
        prompt=question.prompt_text,
        target=question.target,
        output=output,
        nll_nats=nats[0],
        answer_tokens=sum(label != IGNORE_INDEX for label in sample.answer_labels),
        loss_nats=nats[1],
        loss_tokens=sample.learned_tokens,
    )


def log_likelihoods(
    model: Any,
    template: Template,
    questions: Sequence[Question],
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda words: None,
) -> list[tuple[float, float]]:
    """(nats of the answer, nats of all learned tokens) of each row.

    Raises:
        Cancelled: `should_stop` said so.
    """
    kind = "cuda" if str(model.device).startswith("cuda") else "cpu"
    vocabulary = int(getattr(model.config.get_text_config(), "vocab_size", 32_000))
    order = sorted(range(len(questions)), key=lambda index: -len(questions[index].sample.input_ids))
    found: dict[int, tuple[float, float]] = {}
    done = 0
    while done < len(order):
        if should_stop():
            raise Cancelled
        report(f"Scoring: {done} of {len(order)} rows")
        longest = max(1, len(questions[order[done]].sample.input_ids))
        size = max(1, LOGIT_ELEMENTS[kind] // (longest * vocabulary))
        chosen = order[done : done + size]
        samples = [questions[index].sample for index in chosen]
        found |= zip(chosen, _batch_nats(model, samples, template.pad_id), strict=True)
        done += len(chosen)
    return [found[number] for number in range(len(questions))]


def _batch_nats(model: Any, samples: Sequence[Sample], pad_id: int) -> list[tuple[float, float]]:
    laid, keeps = lay(samples, pad_id), takes_logits_to_keep(model)
    columns = laid.columns()
    if not len(columns):
        return [(0.0, 0.0)] * len(samples)
    ids, mask = laid.ids.to(model.device), laid.mask.to(model.device)
    kept = {"logits_to_keep": columns.to(model.device)} if keeps else {}
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **kept).logits
    return laid.nats(logits if keeps else logits[:, columns.to(logits.device)], columns)
