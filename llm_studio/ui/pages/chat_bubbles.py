"""Markup of one message of a chat: escaped first, then code, bold and line breaks made visible."""

import re

from llm_studio.actions.answers import Answer
from llm_studio.ui import build, text

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n?```|\Z)", flags=re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*")


def formatted(words: str) -> str:
    """A model's text as markup: fenced and inline code and bold; all else exactly as it was written.

    Everything is escaped before a tag is added, so nothing in `words` can become one.
    """
    parts, end = [], 0
    for fence in _FENCE.finditer(words):
        parts.append(_prose(words[end : fence.start()]))
        parts.append(f'<pre class="ls-code">{text.markup(fence[1])}</pre>')
        end = fence.end()
    parts.append(_prose(words[end:]))
    return "".join(parts)


def _prose(words: str) -> str:
    def made(match: re.Match[str]) -> str:
        return f"<code>{match[1]}</code>" if match[1] is not None else f"<b>{match[2]}</b>"

    return _INLINE.sub(made, text.markup(words))


def prompt(words: str) -> str:
    """What the user said."""
    return f'<div class="ls-say ls-say-user"><div class="ls-say-body">{text.markup(words)}</div></div>'


def answer(words: str, note: str) -> str:
    """A finished answer with its note and a button that copies the text as it is."""
    body = formatted(words) if words else '<span class="ls-hint">The answer is empty: the model ended its turn.</span>'
    copy = f'<button type="button" class="ls-copy" data-copy="{text.markup(words)}">Copy</button>' if words else ""
    foot = f'<div class="ls-say-foot"><span>{text.markup(note)}</span>{copy}</div>'
    return f'<div class="ls-say ls-say-model"><div class="ls-say-body">{body}</div>{foot}</div>'


def coming(made: Answer, seconds: float) -> str:
    """An answer that is being made: what is waited for, or the text so far."""
    if made.text:
        body = f'<div class="ls-say-body">{formatted(made.text)}<span class="ls-caret"></span></div>'
        speed = f"{made.tokens:,} tokens · {made.tokens_per_second:,.1f} tokens per second"
        foot = f'<div class="ls-say-foot"><span>{text.markup(speed)}</span></div>'
        return f'<div class="ls-say ls-say-model">{body}{foot}</div>'
    note = f"{seconds:.0f} s" if seconds >= 1 else ""
    return f'<div class="ls-say ls-say-model">{build.progress_markup(made.words, None, note)}</div>'


def missing(words: str) -> str:
    """In place of an answer that was not asked for."""
    return f'<div class="ls-say ls-say-model"><p class="ls-hint">{text.markup(words)}</p></div>'
