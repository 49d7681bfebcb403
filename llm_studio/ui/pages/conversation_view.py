"""Shows conversations as chat bubbles, and what is wrong with rows, in words."""

from collections.abc import Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.data.refusals import row_list
from llm_studio.data.types import Conversation, Message, Problem
from llm_studio.ui import build, text

ROLE_WORDS = {"system": "System", "user": "User", "assistant": "Answer", "tool": "Tool"}
LONGEST_BUBBLE = 2_000


def bubble(message: Message, words: str = "") -> str:
    """Markup of one message; a long one is cut and says so. words: above it, instead of the role."""
    learned = '<span class="ls-learned">learned</span>' if message.learned else ""
    shown = message.text[:LONGEST_BUBBLE]
    more = len(message.text) - len(shown)
    rest = f'<p class="ls-hint">… {more:,} more characters</p>' if more else ""
    if not message.text:
        shown, rest = "", '<p class="ls-hint">(empty)</p>'
    return (
        f'<div class="ls-bubble ls-bubble-{message.role}"><div class="ls-bubble-head">'
        f'{words or ROLE_WORDS[message.role]}{learned}</div><div class="ls-pre">{text.markup(shown)}</div>{rest}</div>'
    )


def conversation_markup(conversation: Conversation, *, title: str = "") -> str:
    """Markup of one conversation with its row number."""
    head = text.markup(title or f"Row {conversation.row + 1:,}")
    body = "".join(bubble(message) for message in conversation.messages)
    more = (("Tools that may be called", conversation.tools), ("Rejected answer, not learned", conversation.rejected))
    body += "".join(bubble(Message("tool", said), words) for words, said in more if said)
    return f'<section class="ls-conversation"><h3 class="ls-conversation-head">{head}</h3>{body}</section>'


def conversations(name: str, shown: Sequence[Conversation]) -> Any:
    """A component with some conversations below each other."""
    return ui.markup(name=name, content="".join(conversation_markup(one) for one in shown))


def problem_bars(problems: Sequence[Problem], *, consent: bool) -> list[Any]:
    """One finding per problem; rows that are left out are errors until the user agrees."""
    bars = []
    for index, problem in enumerate(problems):
        where = row_list(problem) if problem.rows else ""
        if problem.column:
            where = f"column {problem.column}, {where}"
        level = {"error": "error", "warning": "warning", "note": "note"}.get(
            problem.severity, "warning" if consent else "error"
        )
        what = problem.what
        if problem.severity == "leaves out":
            rows = "1 row" if problem.count == 1 else f"{problem.count:,} rows"
            what = f"{rows} {'left out' if consent else 'cannot be used'}: {problem.what}."
        elif problem.count:
            what = f"{problem.count:,} row{'s' if problem.count > 1 else ''}: {problem.what}"
        bars.append(build.finding_bar(level, what, where=where, fix=problem.fix, name=f"problem_{index}"))
    return bars
