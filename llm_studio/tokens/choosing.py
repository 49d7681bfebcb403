"""Chooses the chat template of an experiment and says why: the backbone's own, a named format, or the markers."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from llm_studio.config.dataset import Dataset
from llm_studio.tokens.markers import markers_template
from llm_studio.tokens.templates import TEMPLATES, jinja_of, reason_for, unknown_strings

Source = Literal["backbone", "markers", "chatml", "llama3", "gemma"]
NAMED: dict[str, Source] = {name: name for name in get_args(Source) if name in TEMPLATES}


@dataclass(frozen=True)
class Chosen:
    """Where the template comes from and why; the Jinja text; texts that cut an answer which goes on; ends: strings
    that end a turn and count as special, even where the tokenizer reads them as plain text."""

    source: Source
    reason: str
    jinja: str
    stop_texts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


def choose(tokenizer: Any, settings: Dataset) -> Chosen:
    """The template for a tokenizer; a checkpoint's tokenizer that has the markers already is known by them."""
    own = tokenizer.chat_template
    first = tokenizer("a")["input_ids"][:1]
    bos = tokenizer.bos_token if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id] else ""
    if settings.chat_template in NAMED:
        named = TEMPLATES[settings.chat_template]
        reason = reason_for(named, unknown_strings(tokenizer, named.strings))
        return Chosen(NAMED[settings.chat_template], reason, jinja_of(named, bos or ""), (named.end,), (named.end,))
    markers = markers_template(settings, eos_token=tokenizer.eos_token or "", bos_token=bos or "")
    if settings.chat_template == "markers" or not own or own == markers:
        asked = settings.chat_template == "markers"
        reason = "the settings ask for them" if asked else "the backbone brings no chat template"
        stops = (settings.text_system_start, settings.text_prompt_start, settings.text_answer_separator)
        return Chosen("markers", reason, markers, stops)
    return Chosen("backbone", "it brings one", own)
