"""Turns the entries of a chat list into messages: {role, content} of the OpenAI API and {from, value} of ShareGPT."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_studio.data.types import Message, Role, RowError

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""`developer` and `function` are the newer and the older word of the API for system and tool."""
SPEAKERS: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


@dataclass(frozen=True)
class Place:
    """Where an entry stands, for the words of an error: the column, and the number of the message from 1 on."""

    column: str
    number: int = 0

    def error(self, reason: str) -> RowError:
        """ "message 3 " and the reason; the value itself where it is no list."""
        return RowError(self.column, f"{f'message {self.number}' if self.number else 'the value'} {reason}")


Read = Callable[[object, Place], Message]


def read_list(text: str | None, column: str, read: Read) -> tuple[Message, ...]:
    """All messages of a cell.

    Raises:
        RowError: missing, not JSON, not a list, empty, or an entry that `read` refuses.
    """
    if text is None:
        raise RowError(column, "the list of messages is missing")
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(column, "the value is text, not a list of messages") from None
    if not isinstance(items, list):
        raise RowError(column, "the value is not a list of messages")
    if not items:
        raise RowError(column, "the list of messages is empty")
    return tuple(read(item, Place(column, number)) for number, item in enumerate(items, start=1))


def role_content(item: object, place: Place) -> Message:
    """A message as the OpenAI API has it, with tool calls; assistant messages are learned but for `"weight": 0`.

    Raises:
        RowError: no such object, an unknown role, content that is not text, tool calls that are none.
    """
    if not isinstance(item, dict):
        raise place.error("is not an object with role and content")
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        if role is None and "from" in item:
            raise place.error("has 'from' and 'value' (ShareGPT) instead of 'role' and 'content'")
        said = "has no role" if role is None else f"has the unknown role {role!r}"
        raise place.error(f"{said}; roles are system, user, assistant and tool")
    calls = tool_calls(item, place) if ROLES[role] == "assistant" else ""
    return Message(
        ROLES[role],
        content(item, place, needed=not calls and ROLES[role] != "tool"),
        learned=ROLES[role] == "assistant" and weight(item, place),
        tool_calls=calls,
        name=member(item, "name", place),
        tool_call_id=member(item, "tool_call_id", place),
    )


def from_value(item: object, place: Place) -> Message:
    """A message as ShareGPT has it; answers and function calls are learned but for `"weight": 0`.

    Raises:
        RowError: no such object, an unknown speaker, a value that is not text, a function call that is no JSON.
    """
    if not isinstance(item, dict):
        raise place.error("is not an object with from and value")
    speaker = item.get("from")
    if not isinstance(speaker, str) or speaker.lower() not in SPEAKERS:
        if speaker is None and "role" in item:
            raise place.error("has 'role' and 'content' instead of 'from' and 'value' (ShareGPT)")
        said = "has no 'from'" if speaker is None else f"is from {speaker!r}, who is not known"
        raise place.error(f"{said}; it may be system, human, gpt, function_call or observation")
    value = item.get("value")
    if not isinstance(value, str):
        raise place.error("has no text in 'value'")
    role = SPEAKERS[speaker.lower()]
    learned = role == "assistant" and weight(item, place)
    if speaker.lower() == "function_call":
        try:
            called = json.loads(value)
        except (ValueError, RecursionError):
            raise place.error("is a function call that is not JSON") from None
        return Message(
            role, "", learned, tool_calls=calls_text(called if isinstance(called, list) else [called], place)
        )
    return Message(role, value, learned)


def either(item: object, place: Place) -> Message:
    """A message in one of both manners.

    Raises:
        RowError: as `role_content` and `from_value`.
    """
    return from_value(item, place) if isinstance(item, dict) and "from" in item else role_content(item, place)


def weight(item: Mapping[str, Any], place: Place) -> bool:
    """Whether an answer is learned: 1 or nothing said is yes, 0 is no."""
    value = item.get("weight")
    if value is None or value in (0, 1):
        return value is None or bool(value)
    raise place.error(f"has the weight {value!r}; only 0 (not learned) and 1 are read")


def member(item: Mapping[str, Any], name: str, place: Place) -> str:
    """A member that is text, or nothing."""
    value = item.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise place.error(f"has a {name!r} that is not text")


def content(item: Mapping[str, Any], place: Place, *, needed: bool = True) -> str:
    """The text of a message: a string, or the text parts of a list one after the other."""
    value = item.get("content")
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(part_text(part, place) for part in value)
    if value is None and not needed:
        return ""
    raise place.error("has no text in 'content'")


def part_text(part: object, place: Place) -> str:
    """The text of one part of a content list."""
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise place.error(f"holds a part of type {kind!r}; only text is read")


def tool_calls(item: Mapping[str, Any], place: Place) -> str:
    """`tool_calls`, or the older `function_call`, as JSON text; empty when there are none."""
    calls = item.get("tool_calls")
    if not calls and item.get("function_call"):
        calls = [item["function_call"]]
    if not calls:
        return ""
    if not isinstance(calls, list):
        raise place.error("has 'tool_calls' that are not a list")
    return calls_text(calls, place)


def calls_text(calls: list[Any], place: Place) -> str:
    """Calls as JSON text of [{type, function: {name, arguments}}, ...]; a bare {name, arguments} is wrapped."""
    found = []
    for number, call in enumerate(calls, start=1):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise place.error(f"has a tool call without the name of a function (call {number})")
        found.append(call if "function" in call else {"type": "function", "function": function})
    return json.dumps(found, ensure_ascii=False)


def tools_text(text: str | None, column: str) -> str:
    """The schemas of a tools cell as JSON text of a list; empty when there are none. Bare functions are wrapped.

    Raises:
        RowError: not a JSON list of objects.
    """
    if text is None or not text.strip():
        return ""
    try:
        tools = json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(column, "the value is text, not a JSON list of tools") from None
    tools = [tools] if isinstance(tools, dict) else tools
    if tools is None or tools == []:
        return ""
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowError(column, "the value is not a JSON list of tools")
    wrapped = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return json.dumps(wrapped, ensure_ascii=False)


def with_system(messages: tuple[Message, ...], system: str | None) -> tuple[Message, ...]:
    """The messages behind a system text; a system message that they begin with themselves stays the only one."""
    if not (system or "").strip() or (messages and messages[0].role == "system"):
        return messages
    return (Message("system", system or ""), *messages)


def answers_something(messages: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """The messages, if there is an answer to learn.

    Raises:
        RowError: there is none.
    """
    if any(one.learned and one.text.strip() for one in messages):
        return messages
    raise RowError(column, "there is no answer to learn: no message of the assistant with text or tool calls")


def looks_like_list(text: str | None, member: str) -> bool:
    """Whether a cell is a list of objects of which the first has this member ("role", "from")."""
    if text is None or not text.lstrip().startswith("["):
        return False
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(items) and isinstance(items[0], dict) and member in items[0]
