"""Talk to a tuned model, with or without its backbone before tuning beside it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from h2o_wave import ui

from llm_studio.actions import answers
from llm_studio.actions.chats import (
    ChatSettings,
    Talker,
    default_settings,
    find_talker,
    held_out,
    newest_conversation,
    open_conversation,
    read_settings,
    talkers,
)
from llm_studio.actions.serving import DeviceBusyError, close_chat, current_server, open_chat, open_untouched
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.errors import UserError
from llm_studio.store import ServerRecord
from llm_studio.ui import build
from llm_studio.ui.page import Context, Crumb, Event, Outcome, Page, close, dialog, go, panel, stay
from llm_studio.ui.pages.chat_cards import Data, cards

SUGGESTIONS = 3
CHOICES_SECONDS = 5.0
SETTING_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "repetition_penalty",
    "seed",
    "stop",
    "system",
    "turns",
)
Value = TypeVar("Value")


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Read the conversation, the model's process and what is being answered; on the first visit, begin to load."""
    choices = _kept(ctx, "choices", lambda: talkers(ctx.store, allowed_folders(ctx.store)), CHOICES_SECONDS)
    talker = _talker(ctx, args, choices)
    if talker is None:
        return Data(choices=choices)
    _load_on_first_visit(ctx, talker)
    chat = newest_conversation(ctx.store, talker)
    made = answers.current_round(chat.id) if chat else None
    return Data(
        choices=choices,
        talker=talker,
        messages=tuple(chat.messages) if chat else (),
        answers=tuple(made.answers.items()) if made else (),
        answering=made is not None and not made.over,
        seconds=time.time() - made.started_at if made else 0.0,
        server=current_server(ctx.store, talker.experiment_id, talker.backbone),
        settings=_settings(ctx, talker),
        suggestions=_kept(ctx, "suggestions", lambda: _suggestions(ctx, talker)),
        prompt=str(ctx.draft.get("chat_prompt") or ""),
        problem=ctx.state.get("problem"),
        busy=bool(ctx.state.get("busy")),
    )


def _kept(ctx: Context, name: str, read: Callable[[], Value], seconds: float = float("inf")) -> Value:
    """What `read` gave in this tab at this address, at most `seconds` ago: an answer streams at ten loads a second."""
    at, value = ctx.state.get(name, (0.0, None))
    if not at or time.monotonic() - at > seconds:
        at, value = time.monotonic(), read()
        ctx.state[name] = (at, value)
    result: Value = value
    return result


def _talker(ctx: Context, args: tuple[str, ...], choices: Sequence[Talker]) -> Talker | None:
    if not args:
        return next((one for one in choices if one.experiment_id is not None), None)
    known = next((one for one in choices if one.key == args[0]), None)
    return known or find_talker(ctx.store, args[0], allowed_folders(ctx.store))


def _chosen(ctx: Context, args: tuple[str, ...]) -> Talker:
    talker = _talker(ctx, args, talkers(ctx.store, allowed_folders(ctx.store)))
    if talker is None:
        raise UserError("No model is chosen.", where="Model", fix="Choose one on top of the page.")
    return talker


def _settings(ctx: Context, talker: Talker) -> ChatSettings:
    default = _kept(ctx, "default_settings", lambda: default_settings(ctx.store, talker))
    chat = newest_conversation(ctx.store, talker)
    return ChatSettings.of(chat.settings if chat else {}, default)


def _suggestions(ctx: Context, talker: Talker) -> tuple[str, ...]:
    """First prompts of rows that the model was not trained on."""
    conversations = held_out(ctx.store, talker, SUGGESTIONS)
    prompts = (next((m.content for m in one.messages if m.role == "user"), "") for one in conversations)
    return tuple(prompt for prompt in prompts if prompt)


# ---- the model's process ---------------------------------------------------------------------------------------------


def _load_on_first_visit(ctx: Context, talker: Talker) -> None:
    """The model is loaded while the user reads and types; a GPU that trains is never disturbed without being asked."""
    if ctx.state.get("visited"):
        return
    ctx.state["visited"] = True
    try:
        _open(ctx, talker, "auto")
    except DeviceBusyError as error:
        ctx.state["problem"], ctx.state["busy"] = error.as_dict(), True


def _open(ctx: Context, talker: Talker, choice: Any) -> ServerRecord:
    ctx.state.pop("problem", None)
    ctx.state.pop("busy", None)
    if talker.experiment_id is not None:
        return open_chat(ctx.store, talker.experiment_id, choice)
    return open_untouched(ctx.store, talker.backbone, talker.device, choice)


def load_model(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Load, on the device that the button names."""
    try:
        _open(ctx, _chosen(ctx, args), event.argument or "auto")
    except DeviceBusyError as error:
        ctx.state["problem"], ctx.state["busy"] = error.as_dict(), True
    return stay()


def unload(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Give the memory back."""
    talker = _chosen(ctx, args)
    close_chat(ctx.store, talker.experiment_id, talker.backbone)
    return stay("Unloaded", "info")


def pick(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Open the chat of another model."""
    chosen = str(event.value or ctx.draft.get("pick") or "")
    return go(f"#chat/{quote(chosen, safe='')}") if chosen else stay()


# ---- asking ----------------------------------------------------------------------------------------------------------


def send(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Ask what stands in the prompt box."""
    return _ask(ctx, args, str(ctx.draft.get("chat_prompt") or ""))


def suggest(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Ask one of the suggestions."""
    talker = _chosen(ctx, args)
    return _ask(ctx, args, _suggestions(ctx, talker)[int(event.argument)])


def _ask(ctx: Context, args: tuple[str, ...], prompt: str) -> Outcome:
    talker = _chosen(ctx, args)
    answers.ask(ctx.store, talker, open_conversation(ctx.store, talker), _settings(ctx, talker), prompt)
    ctx.draft["chat_prompt"] = ""
    return stay()


def again(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Answer the newest prompt once more."""
    talker = _chosen(ctx, args)
    chat, choice = open_conversation(ctx.store, talker), event.argument or "auto"
    answers.answer_again(ctx.store, talker, chat, _settings(ctx, talker), choice)  # type: ignore[arg-type]
    return stay()


def stop(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """End the answer; what is there is kept."""
    answers.stop_answering(open_conversation(ctx.store, _chosen(ctx, args)).id)
    return stay()


def ask_clear(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Ask before the conversation is forgotten."""
    words = build.paragraph("All prompts and answers of this chat go. The model and its settings stay.")
    return dialog("Clear this chat?", words, build.row(build.button("delete", "Clear"), build.button("close", "Keep")))


def delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Forget the conversation."""
    answers.clear(ctx.store, open_conversation(ctx.store, _chosen(ctx, args)))
    return stay("Cleared")


# ---- settings --------------------------------------------------------------------------------------------------------


def compare(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Switch the second column on or off."""
    talker = _chosen(ctx, args)
    values = _settings(ctx, talker).as_dict() | {"compare": bool(ctx.draft.get("compare"))}
    ctx.store.chats.update(open_conversation(ctx.store, talker).id, settings=values)
    return stay()


def settings(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Show the settings of the answers."""
    for name in SETTING_FIELDS:
        ctx.draft.pop(name, None)
    return panel("Settings of the answers", *_setting_items(_as_typed(_settings(ctx, _chosen(ctx, args)))))


def save_settings(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Check and keep them."""
    talker = _chosen(ctx, args)
    now = _settings(ctx, talker)
    typed = _as_typed(now) | {name: ctx.draft[name] for name in SETTING_FIELDS if name in ctx.draft}
    chosen = read_settings(typed, now)
    ctx.store.chats.update(open_conversation(ctx.store, talker).id, settings=chosen.as_dict())
    return close("Saved")


def reset_settings(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Back to what the experiment says."""
    talker = _chosen(ctx, args)
    kept = {"compare": _settings(ctx, talker).compare}
    values = default_settings(ctx.store, talker).as_dict() | kept
    ctx.store.chats.update(open_conversation(ctx.store, talker).id, settings=values)
    return close("Reset to the experiment's settings")


def _as_typed(chosen: ChatSettings) -> dict[str, str]:
    values = chosen.as_dict()
    texts = {name: f"{values[name]}" if name in values else "" for name in SETTING_FIELDS}
    return texts | {"stop": "\n".join(chosen.sampling.stop)}


def _setting_items(typed: dict[str, str]) -> list[Any]:
    def pair(*boxes: tuple[str, str, str]) -> Any:
        return ui.inline(
            items=[
                ui.textbox(name=name, label=label, value=typed[name], tooltip=tooltip, width="46%")
                for name, label, tooltip in boxes
            ]
        )

    system = "Read by the model before every conversation. Use it when the rows it learned from had one."
    stop = "One text per line. The answer ends where one of them appears; the end of turn always ends it."
    return [
        build.text_area("system", "System prompt", typed["system"], tooltip=system, height="110px"),
        pair(
            ("temperature", "Temperature", "0 takes the likeliest token every time. Higher is more varied."),
            ("max_tokens", "Longest answer (tokens)", "The answer is cut here at the latest."),
        ),
        pair(
            ("top_p", "Top p", "Draws only from the likeliest tokens that together have this probability."),
            ("top_k", "Top k", "Draws only from this many likeliest tokens. 0 sets no limit."),
        ),
        pair(
            ("repetition_penalty", "Repetition penalty", "Above 1 makes words that were used less likely."),
            ("seed", "Seed", "The same seed and settings give the same answer. Empty: another one each time."),
        ),
        pair(("turns", "Turns remembered", "Earlier turns that the model reads. 0: each prompt stands alone.")),
        build.text_area("stop", "Stop texts", typed["stop"], tooltip=stop, height="76px"),
        build.row(build.primary("save_settings", "Save"), build.button("reset_settings", "Reset")),
    ]


def refresh_seconds(data: Data) -> float:
    """Ten times a second while an answer comes, quickly while the model loads."""
    if data.answering:
        return 0.1
    loading = data.server is not None and data.server.status in ("queued", "loading")
    return 0.4 if loading else 1.5


PAGE = Page(
    route="chat",
    title="Chat",
    section="chat",
    load=load,
    cards=cards,
    refresh_seconds=refresh_seconds,
    crumbs=lambda data: [Crumb("Chat", "#chat"), Crumb(data.talker.title)] if data.talker else [Crumb("Chat")],
    actions={
        "pick": pick, "load_model": load_model, "unload": unload, "send": send, "suggest": suggest, "again": again,
        "stop": stop, "ask_clear": ask_clear, "delete": delete, "compare": compare, "settings": settings,
        "save_settings": save_settings, "reset_settings": reset_settings,
    },
)  # fmt: skip
