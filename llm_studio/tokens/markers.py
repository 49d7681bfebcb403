"""The chat template of a backbone that brings none: plain text markers from the settings, as a Jinja template."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_studio.config.dataset import Dataset


@dataclass(frozen=True)
class NewToken:
    """A text that has become a token. number: of the token; pieces: of the tokens that the text was before."""

    number: int
    pieces: tuple[int, ...]


def add_tokens(tokenizer: Any, texts: Sequence[str]) -> tuple[NewToken, ...]:
    """Make each text one token of its own; gives those that were none yet. Texts of white space alone stay as they are.

    As special tokens they are left out of answers, like those the tokenizer brings.
    """
    from tokenizers import AddedToken  # here, since pages read this module too

    known = tokenizer.get_vocab()
    wanted = [text for text in dict.fromkeys(texts) if text.strip() and text not in known]
    pieces = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in wanted]
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=True) for text in wanted], special_tokens=True)
    numbers = [int(tokenizer.convert_tokens_to_ids(text)) for text in wanted]
    return tuple(NewToken(*found) for found in zip(numbers, pieces, strict=True))


def markers_template(settings: Dataset, *, eos_token: str, bos_token: str = "") -> str:
    """A Jinja chat template: markers before system, prompt and answer texts, end-of-text tokens behind them as set.

    bos_token: only when the tokenizer itself would begin a text with it.
    """
    system = _joined(settings.text_system_start, eos_token if settings.add_eos_token_to_system else "")
    prompt = _joined(settings.text_prompt_start, eos_token if settings.add_eos_token_to_prompt else "")
    answer = _joined(settings.text_answer_separator, eos_token if settings.add_eos_token_to_answer else "")
    return (
        (f"{{{{ {_quoted(bos_token)} }}}}" if bos_token else "")
        + "{% for message in messages %}"
        + "{% if message['role'] == 'system' %}"
        + system
        + "{% elif message['role'] == 'assistant' %}"
        + answer
        + "{% else %}"
        + prompt
        + "{% endif %}{% endfor %}"
        + f"{{% if add_generation_prompt %}}{{{{ {_quoted(settings.text_answer_separator)} }}}}{{% endif %}}"
    )


def _quoted(text: str) -> str:
    """As a Jinja string; characters beyond ASCII stay, since Jinja knows no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)


def _joined(before: str, after: str) -> str:
    end = f" + {_quoted(after)}" if after else ""
    return f"{{{{ {_quoted(before)} + message['content']{end} }}}}"
