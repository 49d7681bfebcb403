"""Shows one row as the model gets it: every token with its number, coloured by what becomes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.ui import text

MOST_TOKENS = 3000
"""More tokens than this make a page slow; the rest is counted in words."""
OUTCOMES = {
    "whole": "nothing is cut",
    "shortened": "its oldest turns are left out",
    "cut": "a part is cut off",
    "dropped": "left out of training",
}
KEY = (
    ("learned", "learned"),
    ("read", "read, not learned"),
    ("special", "special token"),
    ("cut", "cut off: the model never sees it"),
)


def token_markup(view: Mapping[str, Any], *, title: str = "") -> str:
    """Markup of a `TokenView.as_dict()`."""
    tokens: Sequence[Mapping[str, Any]] = view["tokens"]
    head = text.markup(title or f"Row {int(view['row']) + 1:,}")
    warnings = "".join(f'<p class="ls-token-warning">{text.markup(one)}</p>' for one in view["warnings"])
    body = "".join(piece(one) for one in tokens[:MOST_TOKENS])
    more = len(tokens) - MOST_TOKENS
    rest = f'<p class="ls-hint">… {more:,} more tokens</p>' if more > 0 else ""
    return (
        f'<section class="ls-conversation"><h3 class="ls-conversation-head">{head} · {text.markup(summary(view))}</h3>'
        f'{warnings}<div class="ls-tokens">{body}</div>{rest}</section>'
    )


def summary(view: Mapping[str, Any]) -> str:
    """How many tokens there are, how many are learned, what became of the row."""
    total, kept, learned = int(view["total_tokens"]), int(view["kept_tokens"]), int(view["learned_tokens"])
    share = f"{100 * float(view['learned_share']):.0f} %"
    parts = [f"{total:,} tokens" if kept == total else f"{kept:,} of {total:,} tokens"]
    parts += [f"{learned:,} learned ({share})", OUTCOMES.get(str(view["outcome"]), str(view["outcome"]))]
    return ", ".join(parts)


def piece(token: Mapping[str, Any]) -> str:
    """One token; its number, and what it is, are said where the pointer rests."""
    kinds = [name for name, on in (("cut", token["truncated"]), ("learned", token["learned"])) if on] or ["read"]
    words = ["cut off" if kinds[0] == "cut" else "learned" if kinds[0] == "learned" else "read, not learned"]
    if token["special"]:
        kinds.append("special")
        words.append("special token")
    if token["end_of_turn"]:
        kinds.append("end")
        words.append("ends the answer")
    classes = " ".join(f"ls-token-{kind}" for kind in kinds)
    shown = str(token["shown"])
    visible = text.markup(shown.replace("\n", "⏎\n").replace("\t", "⇥\t"))
    note = text.markup(f"{token['id']} · {', '.join(words)}")
    return f'<span class="ls-token {classes}" title="{note}">{visible}</span>'


def key() -> Any:
    """What the colours mean."""
    parts = "".join(f'<span class="ls-token ls-token-{kind}">{words}</span> ' for kind, words in KEY)
    return ui.markup(name="token_key", content=f'<p class="ls-hint">{parts}</p>')
