"""Chat templates of well-known formats, written from their public descriptions, for backbones that bring none.

Sources: ChatML as OpenAI described it in openai-python's chatml.md; Llama 3 from Meta's "Model cards and prompt
formats"; Gemma from Google's "Gemma formatting and system instructions".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NamedTemplate:
    """A format: its Jinja text without the beginning of text, the strings it marks turns with, and the one that ends
    a turn."""

    title: str
    jinja: str
    strings: tuple[str, ...]
    end: str


CHATML = NamedTemplate(
    "ChatML",
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}",
    ("<|im_start|>", "<|im_end|>"),
    "<|im_end|>",
)
LLAMA_3 = NamedTemplate(
    "Llama 3",
    "{%- for message in messages -%}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}",
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "<|eot_id|>",
)
GEMMA = NamedTemplate(
    "Gemma",
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ raise_exception('Gemma knows no system message') }}{%- endif -%}"
    "{%- if message['role'] not in ['user', 'assistant'] -%}"
    "{{ raise_exception('Gemma knows no role ' + message['role']) }}{%- endif -%}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('prompts and answers must take turns, beginning with a prompt') }}{%- endif -%}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ message['content'] | trim + '<end_of_turn>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
    ("<start_of_turn>", "<end_of_turn>"),
    "<end_of_turn>",
)
TEMPLATES: dict[str, NamedTemplate] = {"chatml": CHATML, "llama3": LLAMA_3, "gemma": GEMMA}


def jinja_of(named: NamedTemplate, bos_token: str) -> str:
    """The Jinja text for one tokenizer; bos_token only when the tokenizer itself would begin a text with it."""
    return (f"{{{{ {json.dumps(bos_token, ensure_ascii=False)} }}}}" if bos_token else "") + named.jinja


def unknown_strings(tokenizer: Any, strings: Sequence[str]) -> tuple[str, ...]:
    """Those that the tokenizer does not know as single tokens."""
    return tuple(text for text in strings if len(tokenizer(text, add_special_tokens=False)["input_ids"]) != 1)


def reason_for(named: NamedTemplate, unknown: Sequence[str]) -> str:
    """Why this template is used, and what it means that the tokenizer does not know some of its strings."""
    if not unknown:
        return f"the settings ask for {named.title}"
    return (
        f"the settings ask for {named.title}; this backbone's tokenizer does not know {', '.join(unknown)} as single "
        f"token{'s' if len(unknown) > 1 else ''}, so they are written and read as plain text, which works but takes "
        "more tokens"
    )
