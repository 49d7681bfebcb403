"""The chat template of a backbone that brings none: plain text markers from the settings, as a Jinja template."""

import json

from llm_studio.config.dataset import Dataset


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
