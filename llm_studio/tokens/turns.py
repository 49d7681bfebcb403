"""Reshapes the messages of a conversation: folds system messages, joins neighbours, leaves out old turns."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from llm_studio.data.types import Message

Messages = tuple[Message, ...]
BLANK_LINE = "\n\n"


def folded(messages: Sequence[Message]) -> Messages:
    """Each system message put, with a blank line, before the text of the next message when that is a prompt.

    One that no prompt follows stays where it is.
    """
    found: list[Message] = []
    for message in messages:
        while message.role == "user" and found and found[-1].role == "system":
            message = replace(message, content=found.pop().content + BLANK_LINE + message.content)
        found.append(message)
    return tuple(found)


def merged(messages: Sequence[Message]) -> Messages:
    """Neighbours of the same role joined with a blank line.

    An answer that is learned and one that is not stay apart: joined, one of them would be treated wrongly. So do the
    outputs of tools, each of which answers a call of its own, and messages that carry more than a text.
    """
    found: list[Message] = []
    for message in messages:
        before = found[-1] if found else None
        same = before is not None and message.role != "tool" and replace(before, content=message.content) == message
        if before is not None and same and message == Message(message.role, message.content, message.learned):
            found[-1] = replace(before, content=before.content + BLANK_LINE + message.content)
        else:
            found.append(message)
    return tuple(found)


def shorter(messages: Sequence[Message]) -> list[Messages]:
    """What is left when whole turns go, the oldest first: from one turn fewer to the system messages and the last turn.

    A turn is a prompt with all that follows it up to the next prompt. Kept always: the system messages at the
    beginning, and everything from the prompt of the last answer on.
    """
    system = next((index for index, one in enumerate(messages) if one.role != "system"), len(messages))
    answers = [index for index, one in enumerate(messages) if one.role == "assistant"]
    last = answers[-1] if answers else len(messages) - 1
    begins = [
        index
        for index, one in enumerate(messages)
        if one.role == "user" and system < index <= last and messages[index - 1].role != "user"
    ]
    return [(*messages[:system], *messages[begin:]) for begin in begins]


def way_out(messages: Sequence[Message]) -> str:
    """What helps a conversation that a chat template refuses; what has been done to its messages is not proposed."""
    roles = [message.role for message in messages]
    ways = []
    if any(one == "system" and other == "user" for one, other in pairwise(roles)):
        ways.append("turn dataset.fold_system on, which puts the system message in front of the first user message")
    if any(one == other for one, other in pairwise(roles)):
        ways.append("turn dataset.merge_turns on, which joins messages of one role in a row")
    ways.append("set dataset.chat_template to chatml or markers, which take every row of roles")
    return f"Correct the roles of its messages, {', '.join(ways[:-1])}{', ' if ways[1:] else ''}or {ways[-1]}."
