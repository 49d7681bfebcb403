"""One experiment: how it stands, its scores and charts, samples, log, config, files and data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_studio.actions import experiments as actions
from llm_studio.actions import going_on
from llm_studio.actions.devices import title_of
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Crumb, Event, Outcome, Page, go
from llm_studio.ui.pages import (
    experiment_config,
    experiment_data,
    experiment_files,
    experiment_log,
    experiment_overview,
    experiment_samples,
)
from llm_studio.ui.pages import experiment_verbs as verbs
from llm_studio.ui.pages import experiment_words as say

TABS = (
    ("overview", "Overview", experiment_overview),
    ("samples", "Samples", experiment_samples),
    ("logs", "Log", experiment_log),
    ("data", "Data", experiment_data),
    ("config", "Config", experiment_config),
    ("files", "Files", experiment_files),
)


@dataclass(frozen=True)
class Data:
    """position: place in the queue, from 1. body: what the open tab has read."""

    record: ExperimentRecord
    position: int
    can_continue: bool
    can_train_more: bool
    can_chat: bool
    tab: str
    body: Any


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """The record and what the open tab needs."""
    if not args:
        raise UserError("No experiment is chosen.", fix="Open one from the list of experiments.")
    record = ctx.store.experiments.get(args[0])
    tab = args[1] if len(args) > 1 else "overview"
    parts = {name: part for name, _, part in TABS}
    if tab not in parts:
        raise UserError(f"An experiment has no section {tab[:40]!r}.", fix="Choose one of its tabs.")
    waiting = ctx.store.experiments.list("queued") if record.status == "queued" else []
    return Data(
        record=record,
        position=next((place for place, one in enumerate(waiting, start=1) if one.id == record.id), 0),
        can_continue=actions.can_continue(ctx.store, record),
        can_train_more=going_on.can_train_more(ctx.store, record),
        can_chat=record.status not in ("queued", "running") and actions.has_checkpoint(ctx.store, record.id),
        tab=tab,
        body=parts[tab].load(ctx, record),
    )


def cards(data: Data) -> Iterator[Card]:
    """The header, what happens now, the tabs and the open one."""
    record = data.record
    yield build.header(
        record.name,
        subtitle=subtitle(record),
        status=record.status,
        action=main_action(data),
        more=[
            *([build.button(f"ask_more/{record.id}", "More epochs")] if data.can_train_more else []),
            build.button(f"new_from/{record.id}", "New from this"),
            build.button(f"ask_rename/{record.id}", "Rename"),
            build.button(f"delete/{record.id}", "Delete", disabled=record.status == "running"),
        ],
    )
    if record.status in ("queued", "running"):
        share = record.progress if record.status == "running" else 0.0
        yield build.form(
            "top", "progress", build.progress("now", say.now(record, data.position), share, note=say.left(record))
        )
    elif record.status == "failed":
        yield build.form("top", "failure", [build.error_bar(record.error or {"what": "The experiment failed."})])
    address = f"#experiment/{record.id}"
    items = [(title, address if name == "overview" else f"{address}/{name}") for name, title, _ in TABS]
    current = address if data.tab == "overview" else f"{address}/{data.tab}"
    yield build.tabs("sections", items, current)
    part = next(part for name, _, part in TABS if name == data.tab)
    yield from part.cards(record, data.body)


def subtitle(record: ExperimentRecord) -> str:
    """What is tuned on what, where and when."""
    parts = [f"{say.backbone(record)} on {record.dataset_name}", title_of(record.device)]
    if record.status in ("queued", "running"):
        parts.append(f"started {words.ago(record.started_at)}" if record.started_at else "not started yet")
    else:
        parts.append(f"ended {words.ago(record.ended_at)}")
        parts += [f"took {say.took(record)}"] if say.took(record) else []
    return " · ".join(parts)


def main_action(data: Data) -> Any:
    """The one thing to do next."""
    record = data.record
    if record.status in ("queued", "running"):
        asked = record.stop_requested
        return build.primary(f"stop/{record.id}", "Stopping" if asked else "Stop", disabled=asked)
    if record.status == "finished" and data.can_chat:
        return build.primary(f"#chat/{record.id}", "Chat")
    if data.can_continue:
        return build.primary(f"continue/{record.id}", "Continue")
    return build.primary(f"restart/{record.id}", "Restart")


def delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Deletes it and goes back to the list."""
    names = verbs.delete_all(ctx, event.argument.split(","))
    return go("#experiments", f"Deleted {names}.")


PAGE = Page(
    route="experiment",
    title="Experiment",
    section="experiments",
    load=load,
    cards=cards,
    refresh_seconds=lambda data: 1.0 if data.record.status in ("queued", "running") or data.tab == "files" else 4.0,
    crumbs=lambda data: [Crumb("Experiments", "#experiments"), Crumb(data.record.name)],
    actions={
        "stop": verbs.stop,
        "continue": verbs.continue_,
        "ask_more": verbs.ask_more,
        "more": verbs.more,
        "restart": verbs.ask_restart,
        "restart_now": verbs.restart,
        "new_from": verbs.new_from,
        "ask_rename": verbs.ask_rename,
        "rename": verbs.rename,
        "delete": verbs.ask_delete,
        "delete_now": delete,
        **experiment_samples.ACTIONS,
        **experiment_log.ACTIONS,
        **experiment_config.ACTIONS,
        **experiment_files.ACTIONS,
    },
)
