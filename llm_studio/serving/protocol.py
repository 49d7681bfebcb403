"""The bodies of the /v1 endpoint, in the shape of OpenAI's, and its errors."""

import json
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_studio.errors import UserError
from llm_studio.modeling.sampling import Sampling

HARMLESS = {"user", "metadata", "store", "stream_options", "safety_identifier", "prompt_cache_key"}
"""Fields of OpenAI's clients that change nothing about the answer."""


class TextPart(BaseModel):
    """A part of a message that is given as a list."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """What POST /v1/chat/completions takes. A setting that is not given has the value chosen for the experiment."""

    model_config = ConfigDict(extra="allow")
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str = ""
    stream: bool = False
    n: Literal[1] = 1
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    adapter: bool = True
    """False asks the backbone as it was before tuning."""

    def sampling(self, defaults: Sampling) -> Sampling:
        """The settings of this answer.

        Raises:
            UserError: a value is out of range, or a field is not supported.
        """
        unknown = sorted(set(self.model_extra or {}) - HARMLESS)
        if unknown:
            what = f"This server does not support {', '.join(unknown)}."
            raise UserError(what, where=unknown[0], fix="Leave it out of the request.")
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "repetition_penalty": self.repetition_penalty,
            "seed": self.seed,
            "stop": (self.stop,) if isinstance(self.stop, str) else tuple(self.stop) if self.stop else None,
        }
        chosen = {name: getattr(defaults, name) for name in given}
        return Sampling(**(chosen | {name: value for name, value in given.items() if value is not None}))

    def conversation(self) -> list[dict[str, str]]:
        """The messages with plain text."""
        return [{"role": message.role, "content": message.text} for message in self.messages]


def chunk(identity: str, model: str, delta: dict[str, str], finish_reason: str | None = None, **more: Any) -> str:
    """One event of a streamed answer."""
    body = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **more,
    }
    return event(body)


def event(body: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def completion(identity: str, model: str, text: str, finish_reason: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": identity,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": usage,
    }


def error_body(error: UserError, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape, with our three parts beside it."""
    return {
        "error": {"message": str(error), "type": kind, "param": error.where or None, "code": code, **error.as_dict()}
    }
