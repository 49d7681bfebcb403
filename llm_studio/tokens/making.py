"""Makes the template of an experiment: which chat template, what ends an answer, what the template knows of tools."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Message
from llm_studio.errors import UserError
from llm_studio.tokens.choosing import choose
from llm_studio.tokens.markers import add_tokens
from llm_studio.tokens.template import MARK, PROBE, Template
from llm_studio.tokens.tools import EVERYTHING, PROBE_CALL, PROBE_NAME, PROBE_RESULT, PROBE_TOOLS, Knowledge


def make_template(tokenizer: Any, config: ExperimentConfig) -> Template:
    """The template of an experiment; sets the tokenizer's chat template when markers are used.

    Raises:
        UserError: the tokenizer cannot tell which characters a token came from, or has no end-of-text token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "This backbone's tokenizer cannot tell which characters a token came from.",
            where=config.llm_backbone,
            fix="Choose a backbone that comes with a tokenizer.json.",
        )
    settings = config.dataset
    chosen = choose(tokenizer, settings)
    tokenizer.chat_template = chosen.jinja
    marked = config.tokenizer.add_prompt_answer_tokens and chosen.source == "markers"
    new = add_tokens(tokenizer, chosen.stop_texts) if marked else ()
    pad = next(
        (one for one in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id) if one is not None), 0
    )
    stops = (*chosen.stop_texts, *config.prediction.stop_texts)
    template = Template(
        tokenizer=tokenizer,
        source=chosen.source,
        reason=chosen.reason,
        max_length=config.tokenizer.max_length,
        truncation=config.tokenizer.truncation,
        truncation_side=config.tokenizer.truncation_side,
        fold_system=settings.fold_system,
        merge_turns=settings.merge_turns,
        learn_prompts=not settings.mask_prompt_labels,
        only_last_answer=settings.only_last_answer,
        stop_texts=tuple(dict.fromkeys(text for text in stops if text.strip())),
        pad_id=int(pad),
        new_tokens=new,
    )
    special = {
        *chosen.ends,
        *tokenizer.all_special_tokens,
        *(str(token) for token in tokenizer.added_tokens_decoder.values()),
    }
    template = replace(
        template,
        _special=frozenset(text for text in special if text.strip()),
        knows=Knowledge(
            tools=_writes(template, PROBE_NAME, PROBE, PROBE_TOOLS),
            calls=_writes(template, PROBE_NAME, PROBE_CALL),
            results=_writes(template, PROBE_RESULT[2].content, PROBE_RESULT),
        ),
    )
    end = _end_of_turn(template)
    return replace(template, end_of_turn=end, stop_ids=_stop_ids(template, end))


def _writes(template: Template, words: str, messages: Sequence[Message], tools: str = "") -> bool:
    """Whether the chat template writes the words of a probe."""
    try:
        return words in replace(template, knows=EVERYTHING).text(messages, tools=tools)
    except (UserError, ValueError, KeyError, AttributeError):  # what a template may raise over a member it lacks
        return False


def _end_of_turn(template: Template) -> str:
    """What follows an answer at the end of a conversation, without white space behind its special token."""
    text = template.text(PROBE)
    start = text.find(MARK) + len(MARK)
    return text[start : template.without_white_end(text, start, len(text))] if start >= len(MARK) else ""


def _stop_ids(template: Template, end_of_turn: str) -> tuple[int, ...]:
    """The end-of-text token, the special token that the template puts behind an answer, stop texts that are tokens."""
    tokenizer = template.tokenizer
    found = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    tail = tokenizer(end_of_turn, add_special_tokens=False)["input_ids"] if end_of_turn else []
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ends = [int(token) for token in tail if token in special][:1]
    numbers = {str(token): int(number) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    stops = [numbers[text] for text in template.stop_texts if text in numbers]  # they leave no text in an answer
    return tuple(dict.fromkeys([*found, *ends, *stops]))
