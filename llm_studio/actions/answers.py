"""Makes the answers of a chat in the background of the app: loads the model if need be, streams, keeps what was said.

The store holds finished answers; what is being made lives here, in memory, so that any tab can show it.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from llm_studio.actions.chats import VARIANTS, ChatSettings, Talker, Variant, prompt_messages
from llm_studio.actions.serving import DeviceBusyError, DeviceChoice, open_chat, open_untouched, stream_answer
from llm_studio.errors import UserError
from llm_studio.store import ChatRecord, ServerRecord, Store

LOOK_SECONDS = 0.15
State = Literal["waiting", "answering", "done", "failed"]


@dataclass(frozen=True)
class Answer:
    """One answer while it is made. words: what is waited for. busy: the GPU trains, and the user has to decide."""

    state: State = "waiting"
    text: str = ""
    words: str = "Waiting"
    tokens: int = 0
    tokens_per_second: float = 0.0
    finish_reason: str = ""
    error: Mapping[str, str] | None = None
    busy: bool = False

    @property
    def note(self) -> str:
        """How long and how fast, in words."""
        ends = {"length": " · cut at the longest answer", "cancelled": " · stopped"}.get(self.finish_reason, "")
        tokens = "1 token" if self.tokens == 1 else f"{self.tokens:,} tokens"
        return f"{tokens} · {self.tokens_per_second:,.1f} tokens per second{ends}"


@dataclass
class Round:
    """The answers to one prompt."""

    answers: dict[Variant, Answer]
    started_at: float = field(default_factory=time.time)
    stopped: threading.Event = field(default_factory=threading.Event)
    over: bool = False

    def change(self, variant: Variant, **values: object) -> None:
        """Replace what is known of one answer."""
        self.answers[variant] = replace(self.answers[variant], **values)  # type: ignore[arg-type]


_ROUNDS: dict[str, Round] = {}
_LOCK = threading.Lock()


def current_round(chat_id: str) -> Round | None:
    """The answers that are being made in a chat, or that failed; None when all is in the store."""
    return _ROUNDS.get(chat_id)


def ask(
    store: Store, talker: Talker, chat: ChatRecord, settings: ChatSettings, prompt: str, choice: DeviceChoice = "auto"
) -> None:
    """Add a prompt to a chat and begin to answer it.

    Raises:
        UserError: the prompt is empty, or an answer is being made.
    """
    if not prompt.strip():
        raise UserError("The prompt is empty.", where="prompt", fix="Type something to ask.")
    _refuse_second(chat.id)
    messages = list(chat.messages)
    if messages and messages[-1]["role"] == "user":  # its answer failed; the new prompt takes its place
        messages.pop()
    chat = store.chats.replace(chat.id, [*messages, {"role": "user", "content": prompt}])
    _begin(store, talker, chat, settings, choice)


def answer_again(
    store: Store, talker: Talker, chat: ChatRecord, settings: ChatSettings, choice: DeviceChoice = "auto"
) -> None:
    """Forget the newest answer and make another one.

    Raises:
        UserError: there is nothing to answer, or an answer is being made.
    """
    _refuse_second(chat.id)
    messages = list(chat.messages)
    if messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise UserError("There is no prompt to answer.", where="chat", fix="Send one first.")
    _begin(store, talker, store.chats.replace(chat.id, messages), settings, choice)


def stop_answering(chat_id: str) -> None:
    """End the answers that are being made; what is there so far is kept."""
    if (found := _ROUNDS.get(chat_id)) is not None:
        found.stopped.set()


def clear(store: Store, chat: ChatRecord) -> None:
    """Forget a whole conversation; its settings stay."""
    stop_answering(chat.id)
    with _LOCK:
        _ROUNDS.pop(chat.id, None)
    store.chats.clear(chat.id)


def _refuse_second(chat_id: str) -> None:
    found = _ROUNDS.get(chat_id)
    if found is not None and not found.over:
        raise UserError("An answer is being made.", where="chat", fix="Wait for its end, or stop it.")


def _begin(store: Store, talker: Talker, chat: ChatRecord, settings: ChatSettings, choice: DeviceChoice) -> None:
    variants = VARIANTS if settings.compare and talker.experiment_id is not None else VARIANTS[:1]
    waits = {"content": "Waiting", "untouched": "Waiting for the tuned model's answer"}
    made = Round({variant: Answer(words=waits[variant]) for variant in variants})
    with _LOCK:
        _refuse_second(chat.id)
        _ROUNDS[chat.id] = made
    arguments = (store, talker, chat, settings, choice, made)
    threading.Thread(target=_make, args=arguments, name=f"chat-{chat.id}", daemon=True).start()


def _make(
    store: Store, talker: Talker, chat: ChatRecord, settings: ChatSettings, choice: DeviceChoice, made: Round
) -> None:
    try:
        for variant in made.answers:
            if not made.stopped.is_set():
                _make_one(store, talker, chat, settings, choice, made, variant)
        if all(answer.state != "failed" for answer in made.answers.values()):
            _keep(store, chat, made)
    finally:
        made.over = True


def _make_one(
    store: Store,
    talker: Talker,
    chat: ChatRecord,
    settings: ChatSettings,
    choice: DeviceChoice,
    made: Round,
    variant: Variant,
) -> None:
    def told(**values: object) -> None:
        made.change(variant, **values)

    try:
        server = _ready_server(store, talker, variant, choice, made)
        if server is None:
            return
        told(state="answering", words="Reading the prompt")
        messages = prompt_messages(chat.messages, settings, variant)
        adapter = variant == "content" or not talker.has_adapter
        text, sampling = "", settings.sampling.as_dict()
        for piece in stream_answer(server, messages, sampling, adapter=adapter, stopped=made.stopped):
            if piece.text or piece.finish_reason:
                text += piece.text
                told(
                    text=text,
                    tokens=piece.completion_tokens,
                    tokens_per_second=piece.tokens_per_second,
                    finish_reason=piece.finish_reason,
                )
        if made.stopped.is_set():
            told(finish_reason="cancelled")
        told(state="done")
    except UserError as error:
        told(state="failed", error=error.as_dict(), busy=isinstance(error, DeviceBusyError))
    except Exception as fault:  # the thread's last word must reach the page
        problem = UserError(f"The answer failed: {type(fault).__name__}: {fault}", where="chat", fix="Send it again.")
        told(state="failed", error=problem.as_dict())
        raise


def _ready_server(
    store: Store, talker: Talker, variant: Variant, choice: DeviceChoice, made: Round
) -> ServerRecord | None:
    """The loaded model, once it is; None when the user stopped waiting."""
    if talker.experiment_id is not None and (variant == "content" or talker.has_adapter):
        server = open_chat(store, talker.experiment_id, choice)
    else:
        server = open_untouched(store, talker.backbone, talker.device, choice)
    while server.status != "ready":
        if made.stopped.is_set():
            return None
        if server.status == "failed":
            raise UserError.from_dict(dict(server.error or {"what": "The model could not be loaded."}))
        if server.status == "stopped":
            raise UserError("The model was closed.", where="chat", fix="Send the prompt again to load it anew.")
        made.change(variant, words=server.phase or "Loading the model")
        time.sleep(LOOK_SECONDS)
        server = store.servers.get(server.id)
    return server


def _keep(store: Store, chat: ChatRecord, made: Round) -> None:
    """Put the answers into the store and take them out of memory; an empty one that was stopped is not kept."""
    message = {"role": "assistant", "content": "", "note": ""}
    for variant, answer in made.answers.items():
        message[variant] = answer.text
        message["note" if variant == "content" else "untouched_note"] = answer.note
    with _LOCK:
        if _ROUNDS.get(chat.id) is not made:
            return  # the chat was cleared meanwhile
        if message["content"] or not made.stopped.is_set():
            store.chats.replace(chat.id, [*chat.messages, message])
        del _ROUNDS[chat.id]
