"""Tool calls and tool schemas for chat templates: as templates take them, or in words for templates that know none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_studio.data.types import Message

TOOLS_INTRODUCTION = "You may call these tools:"
PROBE_NAME = "probe_of_the_studio"
"""A name that a template writes if it writes tools at all."""
_FUNCTION = {"name": PROBE_NAME, "description": "a", "parameters": {"type": "object", "properties": {}}}
PROBE_TOOLS = json.dumps([{"type": "function", "function": _FUNCTION}])
PROBE_CALL = (
    Message("user", "a"),
    Message(
        "assistant",
        "",
        tool_calls=json.dumps(
            [{"id": "a1b2c3d4e", "type": "function", "function": {"name": PROBE_NAME, "arguments": {}}}]
        ),
    ),
)


PROBE_RESULT = (
    *PROBE_CALL,
    Message("tool", PROBE_NAME + " answers", name=PROBE_NAME, tool_call_id="a1b2c3d4e"),
    Message("assistant", "a"),
)


@dataclass(frozen=True)
class Knowledge:
    """What a chat template writes, as found out by letting it render a probe; nothing where it refuses the probe."""

    tools: bool = False
    calls: bool = False
    results: bool = False


NOTHING = Knowledge()
EVERYTHING = Knowledge(tools=True, calls=True, results=True)


def as_template_takes(message: Message) -> dict[str, Any]:
    """A message as chat templates read it: arguments of calls as objects, members that are empty left out.

    Source: transformers, chat templates with tools (arguments are a dict, not JSON text as in the OpenAI API).
    """
    taken: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        taken["tool_calls"] = [with_object(call) for call in json.loads(message.tool_calls)]
    if message.name:
        taken["name"] = message.name
    if message.tool_call_id:
        taken["tool_call_id"] = message.tool_call_id
    return taken


def with_object(call: dict[str, Any]) -> dict[str, Any]:
    """A call with its arguments as an object where they are the JSON text of one."""
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(arguments, str):
        return call
    try:
        read = json.loads(arguments)
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": read}} if isinstance(read, dict) else call


def in_words(messages: Sequence[Message], tools: str, known: Knowledge) -> Sequence[Message]:
    """The messages so that the template loses nothing of them.

    What it does not write becomes text: tools are JSON in the system message, tool calls JSON in the answer, and the
    result of a tool is a message of the user.
    """
    found = messages
    if not known.calls and any(message.tool_calls for message in found):
        found = [replace(message, content=message.text, tool_calls="") for message in found]
    if not known.results and any(message.role == "tool" for message in found):
        found = [replace(message, role="user") if message.role == "tool" else message for message in found]
    if not tools or known.tools:
        return found
    words = f"{TOOLS_INTRODUCTION}\n{tools}"
    if found and found[0].role == "system":
        return (replace(found[0], content=f"{found[0].content}\n\n{words}"), *found[1:])
    return (Message("system", words), *found)
