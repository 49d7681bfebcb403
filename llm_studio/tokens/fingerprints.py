"""Names for what is made of a data set with a template: equal when, and only when, the same tokens would come out."""

import hashlib
import json
import time
from collections.abc import Sequence
from importlib.metadata import version

from llm_studio.tokens.template import Template

VERSION = 1
"""Raised when conversations become tokens in another way, so that older files are not taken for new ones."""
DATE = "strftime_now"
"""What a template calls to write the day it is used on."""


def rendering_fingerprint(
    template: Template, dataset_fingerprint: str, parts: Sequence[str], *, day: str | None = None
) -> str:
    """32 hexadecimal digits for rows of a data set, a tokenizer with its chat template, and what of it is learned.

    The length limit does not count. A template that writes the date into its text gives other tokens each day.
    day: today by default, as 2030-01-31.
    """
    return _digest(_rendering(template, dataset_fingerprint, parts, day))


def samples_fingerprint(template: Template, dataset_fingerprint: str, parts: Sequence[str]) -> str:
    """The same, with the length limit and what happens to longer rows."""
    limit = [template.max_length, template.truncation, template.truncation_side, template.keep_rows]
    return _digest([*_rendering(template, dataset_fingerprint, parts, None), limit])


def _rendering(template: Template, dataset_fingerprint: str, parts: Sequence[str], day: str | None) -> list[object]:
    tokenizer = template.tokenizer
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return [
        VERSION,
        [version("tokenizers"), version("transformers"), version("jinja2")],
        dataset_fingerprint,
        list(parts),
        hashlib.sha256(backend.to_str().encode()).hexdigest(),
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        str(tokenizer.chat_template),
        (day or time.strftime("%Y-%m-%d")) if DATE in str(tokenizer.chat_template) else "",
        [template.fold_system, template.merge_turns, template.learn_prompts, template.only_last_answer],
        template.end_of_turn,
    ]


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
