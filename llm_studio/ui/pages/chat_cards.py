"""The cards of the chat page: model on top, one or two columns of messages, one prompt box below."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions.answers import Answer
from llm_studio.actions.chats import ChatSettings, Talker, Variant
from llm_studio.store import ServerRecord
from llm_studio.ui import build, text
from llm_studio.ui.page import Card
from llm_studio.ui.pages import chat_bubbles as bubbles

SHORT = 140  # characters of a suggestion on its button


@dataclass(frozen=True)
class Data:
    """What the page shows. answers: those being made, or that failed; seconds: since they were asked for.

    problem: why the model could not be loaded; busy: because its GPU trains.
    """

    choices: tuple[Talker, ...]
    talker: Talker | None = None
    messages: tuple[dict[str, str], ...] = ()
    answers: tuple[tuple[Variant, Answer], ...] = ()
    answering: bool = False
    seconds: float = 0.0
    server: ServerRecord | None = None
    settings: ChatSettings | None = None
    suggestions: tuple[str, ...] = ()
    prompt: str = ""
    problem: dict[str, str] | None = None
    busy: bool = False


def cards(data: Data) -> Sequence[Card]:
    """Everything, from the data alone."""
    return tuple(_cards(data))


def _cards(data: Data) -> Iterator[Card]:
    yield build.header("Chat", subtitle="Talk to a tuned model, and to the same backbone before tuning.")
    yield _model_card(data)
    if data.talker is None or data.settings is None:
        sentence = "No experiment to talk to yet. Tune the bundled starter in two minutes, then ask it something here."
        items = build.empty(sentence, "New experiment", "#new")
        yield build.form("main", "talk_none", items)
        return
    if data.settings.compare and data.talker.experiment_id is not None:
        yield build.form("grid", "talk_left", _column(data, "content", f"Tuned: {data.talker.title}"))
        yield build.form("grid", "talk_right", _column(data, "untouched", f"Before tuning: {data.talker.backbone}"))
    else:
        yield build.form("main", "talk_one", _column(data, "content", ""))
    yield build.form("wide", "chat_box", list(_prompt_box(data)))


# ---- the model on top ------------------------------------------------------------------------------------------------


def _model_card(data: Data) -> Card:
    talker, server = data.talker, data.server
    tuned = [ui.choice(one.key, one.title) for one in data.choices if one.experiment_id is not None]
    plain = [ui.choice(one.key, f"{one.title}, untouched") for one in data.choices if one.experiment_id is None]
    picker = ui.dropdown(
        name="pick",
        label="Model",
        value=talker.key if talker else None,
        placeholder="Choose a model",
        choices=[*tuned, *plain],
        trigger=True,
        width="320px",
        tooltip="Tuned models are your experiments that have saved weights. Untouched ones answer as they came.",
    )
    loaded = server is not None and server.status in ("queued", "loading", "ready")
    settings = data.settings
    items = [
        picker,
        ui.markup(name="chat_status", content=_status(data), visible=talker is not None),
        ui.checkbox(
            name="compare",
            label="Compare with before tuning",
            value=bool(settings and settings.compare),
            trigger=True,
            visible=talker is not None and talker.experiment_id is not None,
            tooltip="Each prompt is answered twice, by the tuned model and by its backbone before tuning.",
        ),
        build.button("load_model", "Load", visible=talker is not None and not loaded),
        build.button("unload", "Unload", visible=talker is not None and loaded),
        build.button("settings", "Settings", visible=talker is not None),
        build.button("ask_clear", "Clear", visible=talker is not None, disabled=not data.messages),
    ]
    problem = _problem_items(data)
    return build.form("top", "chat_model", [ui.inline(items=items, align="end"), *problem])


def _status(data: Data) -> str:
    server = data.server
    if server is None:
        words = build.status_tag("stopped", "not loaded")
        return f'<div class="ls-chat-status">{words}</div>'
    if server.status == "ready":
        where = "CPU" if server.device == "cpu" else server.device
        return f'<div class="ls-chat-status">{build.status_tag("ready", f"ready on {where}")}</div>'
    if server.status == "failed":
        return f'<div class="ls-chat-status">{build.status_tag("failed")}</div>'
    phase = f'<span class="ls-hint">{text.markup(server.phase)}</span>' if server.phase else ""
    word = "loading" if server.status == "loading" else "queued"
    return f'<div class="ls-chat-status">{build.status_tag(word)}{phase}</div>'


def _problem_items(data: Data) -> list[Any]:
    problem = data.problem
    if problem is None and data.server is not None and data.server.status == "failed":
        problem = data.server.error
    if problem is None or data.answers:
        return []
    buttons = _device_buttons("load_model") if data.busy else build.row(build.button("load_model/auto", "Load again"))
    return [build.error_bar(problem, name="chat_load_problem"), buttons]


def _device_buttons(action: str) -> Any:
    return build.row(build.button(f"{action}/cpu", "Use the CPU"), build.button(f"{action}/wait", "Wait for the GPU"))


# ---- messages --------------------------------------------------------------------------------------------------------


def _column(data: Data, variant: Variant, title: str) -> list[Any]:
    items = [build.heading(title, name=f"{variant}_title")] if title else []
    parts = list(_messages(data, variant))
    items += [ui.markup(name=f"{variant}_{index}", content=content) for index, content in enumerate(parts)]
    if not parts:
        items.append(_first_words(data, variant))
        if variant == "content":
            items += _suggestions(data)
    made = dict(data.answers).get(variant)
    if made is not None and made.error is not None:
        items.append(build.error_bar(dict(made.error), name=f"{variant}_problem"))
        items.append(_device_buttons("again") if made.busy else build.row(build.button("again/auto", "Try again")))
    return items


def _messages(data: Data, variant: Variant) -> Iterator[str]:
    for message in data.messages:
        if message["role"] == "user":
            yield bubbles.prompt(message["content"])
        elif variant in message:
            note = message.get("note" if variant == "content" else "untouched_note", "")
            yield bubbles.answer(message[variant], note)
        else:
            yield bubbles.missing("Not asked: the comparison was off.")
    made = dict(data.answers).get(variant)
    if made is not None and made.error is None:
        if made.state == "done":
            yield bubbles.answer(made.text, made.note)
        else:
            yield bubbles.coming(made, data.seconds)


def _first_words(data: Data, variant: Variant) -> Any:
    assert data.talker is not None
    if variant == "untouched":
        sentence = "The same prompts, answered by the backbone as it was before tuning."
    elif data.talker.experiment_id is None:
        sentence = f"{data.talker.title} answers as it came, before any tuning."
    elif data.suggestions:
        sentence = "Ask something like the rows it learned from. These come from rows it was not trained on:"
    else:
        sentence = "Ask something like the rows it learned from."
    content = f'<div class="ls-empty"><p>{text.markup(sentence)}</p></div>'
    return ui.markup(name=f"{variant}_first_words", content=content)


def _suggestions(data: Data) -> list[Any]:
    buttons = []
    for index, words in enumerate(data.suggestions):
        whole = text.cell(words, 600) if len(words) > SHORT else None
        buttons.append(build.button(f"suggest/{index}", text.cell(words, SHORT), tooltip=whole))
    return [ui.inline(items=buttons, direction="column", align="center")] if buttons else []


# ---- the prompt box --------------------------------------------------------------------------------------------------


def _prompt_box(data: Data) -> Iterator[Any]:
    yield build.text_area(
        "chat_prompt",
        "Prompt",
        data.prompt,
        tooltip="Enter sends, Shift and Enter make a new line.",
        height="76px",
        placeholder="Ask something",
    )
    yield ui.inline(
        items=[
            build.primary("send", "Send", visible=not data.answering),
            build.button("stop", "Stop", visible=data.answering),
            build.button("again/auto", "Answer again", visible=not data.answering, disabled=not data.messages),
            ui.markup(name="chat_hint", content=f'<p class="ls-hint">{text.markup(_hint(data))}</p>'),
        ],
        align="center",
    )


def _hint(data: Data) -> str:
    if data.settings is None:
        return ""
    sampling = data.settings.sampling
    drawn = "likeliest tokens" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"
    system = " · with a system prompt" if data.settings.system else ""
    turns = data.settings.turns
    memory = "each prompt alone" if turns == 0 else "the last turn" if turns == 1 else f"the last {turns} turns"
    return f"Reads {memory}{system} · {drawn} · at most {sampling.max_tokens:,} tokens"
