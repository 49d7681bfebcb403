"""Asks a language model behind an OpenAI-compatible address: one call, its repetitions, and failures in plain words."""

import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from llm_studio.evaluation.judge_prompts import Message

MOST_TOKENS = 1024
"""Of a reply: room for models that think first."""
RETRIED = frozenset({408, 409, 425, 429, *range(500, 600)})
DIALECTS = ("max_completion_tokens", "temperature")
"""What some models write in a refusal: they want this name for the length of a reply, or take no temperature."""
LONGEST_PAUSE = 20.0
"""Seconds that a server may ask to wait before the next try."""
MOST_SAID = 200
"""Characters of a server's own words that are passed on."""


@dataclass(frozen=True)
class Endpoint:
    """url: the base, such as https://api.openai.com/v1. key: sent only where there is one; never shown."""

    url: str
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Name and port, for people."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"


@dataclass(frozen=True)
class Patience:
    """call_seconds: of silence, after which a call has failed. pauses: seconds before each further try."""

    call_seconds: float = 60.0
    pauses: tuple[float, ...] = (1.0, 4.0)


class CallFailed(Exception):  # noqa: N818 - an outcome of a call, told in words
    """words: what happened, to stand in a sentence. status: of HTTP, 0 without an answer. told: the server's words.
    again: whether another try may help. pause: seconds the server asks to wait."""

    def __init__(self, words: str, *, status: int = 0, told: str = "", again: bool = False, pause: float = 0.0) -> None:
        super().__init__(words)
        self.words = words
        self.status = status
        self.told = told
        self.again = again
        self.pause = pause

    @property
    def sentence(self) -> str:
        """Everything that is known."""
        return f"{self.words}: {self.told}" if self.told else self.words


class JudgeClient:
    """Calls of one endpoint; any number of threads may use it."""

    def __init__(self, endpoint: Endpoint, patience: Patience | None = None) -> None:
        self.endpoint = endpoint
        self._patience = patience or Patience()
        # A proxy of the environment leads out; an address of this machine is not behind it. Redirects are not followed,
        # so that the key goes to no other host.
        self._http = httpx.Client(timeout=self._patience.call_seconds, trust_env=not endpoint.is_here)
        self._dialect: frozenset[str] = frozenset()

    @property
    def is_steady(self) -> bool:
        """Whether the model takes a temperature of 0; False is known after a first reply only."""
        return "temperature" not in self._dialect

    def models(self) -> list[str]:
        """Names of the models it offers.

        Raises:
            CallFailed: it did not tell.
        """
        body = self._sent("GET", "/models")
        listed = body.get("data") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            raise CallFailed("its answer is no list of models")
        return [str(one["id"]) for one in listed if isinstance(one, dict) and one.get("id")]

    def ask(self, model: str, messages: Sequence[Message], wait: Callable[[float], bool]) -> str:
        """The reply to a conversation, after as many tries as the patience allows.

        wait: waits so many seconds and says whether to give up.

        Raises:
            CallFailed: it did not come.
        """
        pauses = list(self._patience.pauses)
        while True:
            dialect = self._dialect
            try:
                return self._reply(model, messages, dialect)
            except CallFailed as failure:
                if failure.status == 400 and (learned := {one for one in DIALECTS if one in failure.told} - dialect):
                    self._dialect |= learned
                    continue
                if not failure.again or not pauses:
                    raise
                if wait(max(pauses.pop(0), min(failure.pause, LONGEST_PAUSE))):
                    raise

    def _reply(self, model: str, messages: Sequence[Message], dialect: frozenset[str]) -> str:
        fields: dict[str, Any] = {} if "temperature" in dialect else {"temperature": 0}
        fields["max_completion_tokens" if "max_completion_tokens" in dialect else "max_tokens"] = MOST_TOKENS
        body = self._sent("POST", "/chat/completions", {"model": model, "messages": list(messages), **fields})
        try:
            choice = body["choices"][0]
            content, ended = choice["message"].get("content"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise CallFailed("its answer is no chat completion") from None
        if not isinstance(content, str) or not content.strip():
            cut = f"its reply was cut at {MOST_TOKENS:,} tokens before it said anything"
            raise CallFailed(cut if ended == "length" else "its reply is empty")
        return content

    def _sent(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {}
        try:
            response = self._http.request(method, f"{self.endpoint.url}{path}", headers=headers, json=body)
        except httpx.TimeoutException:
            words = f"no answer within {self._patience.call_seconds:g} seconds"
            raise CallFailed(words, again=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            told = self._clean(re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__)
            raise CallFailed("the connection failed", told=told, again=True) from None
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise CallFailed("its answer is not JSON") from None

    def _refusal(self, response: httpx.Response) -> CallFailed:
        status = response.status_code
        words = {401: "the key was refused", 403: "the key was refused", 404: "the address or the model is not known",
                 429: "too many requests"}.get(status, "the request was refused" if status < 500 else "an error of the "
                 "server")  # fmt: skip
        if response.has_redirect_location:
            words = f"it leads to another address, {self._clean(response.headers['location'])}"
        pause = response.headers.get("retry-after", "")
        return CallFailed(
            f"{words} (HTTP {status})",
            status=status,
            told=self._clean(message_of(response)),
            again=status in RETRIED,
            pause=float(pause) if pause.isdigit() else 0.0,
        )

    def _clean(self, text: str) -> str:
        """A server's words on one line, without the key."""
        flat = " ".join(text.split())
        if self.endpoint.key:
            flat = flat.replace(self.endpoint.key, "[key]")
        return flat if len(flat) <= MOST_SAID else f"{flat[: MOST_SAID - 1]}…"


def message_of(response: httpx.Response) -> str:
    """What an error says of itself, in the shapes that servers use; empty when it says nothing readable."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return ""
    said = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(said, dict):
        said = said.get("message") or said.get("detail") or ""
    return said if isinstance(said, str) else ""
