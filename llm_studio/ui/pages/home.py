"""The first page: what runs, what was done, what to do next."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Page
from llm_studio.ui.status import Status
from llm_studio.ui.tables import Column, Row, short_table

RECENT = 8


@dataclass(frozen=True)
class Data:
    """now: when it was read, for "5 min ago"."""

    status: Status
    running: tuple[ExperimentRecord, ...]
    queued: tuple[ExperimentRecord, ...]
    recent: tuple[ExperimentRecord, ...]
    datasets: int
    finished: int
    has_chatted: bool
    supervisor_is_alive: bool
    now: float


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Everything from the store, in a few short reads."""
    experiments = ctx.store.experiments.list()
    ended = [one for one in experiments if one.status in ("finished", "stopped", "failed")]
    finished = [one for one in ended if one.status == "finished"]
    return Data(
        status=ctx.status,
        running=tuple(one for one in experiments if one.status == "running"),
        queued=tuple(one for one in experiments if one.status == "queued"),
        recent=tuple(sorted(ended, key=lambda one: -(one.ended_at or one.created_at))[:RECENT]),
        datasets=len(ctx.store.datasets.list()),
        finished=len(finished),
        has_chatted=any(chat.messages for one in finished[:20] for chat in ctx.store.chats.list(one.id)),
        supervisor_is_alive=ctx.store.supervisor_is_alive(),
        now=time.time(),
    )


def cards(data: Data) -> Iterator[Card]:
    """Tiles, what runs now, what was done; the checklist until it is done."""
    action = build.primary("#new", "New experiment") if data.datasets else build.primary("#import", "Import data")
    yield build.header("Home", subtitle=_sentence(data), action=action)
    yield build.stats("tiles", _tiles(data))
    if not data.supervisor_is_alive:
        words_ = "The worker is not running, so nothing starts or imports."
        yield build.form("top", "worker", [build.finding_bar("warning", words_, fix="It is started again by itself.")])
    if data.running or data.queued:
        yield build.form("main", "now", _now(data))
    if data.recent:
        yield build.form("main", "recent_card", _recent(data))
    steps = _steps(data)
    if not all(done for _, done, _ in steps):
        yield build.form(
            "side" if data.running or data.queued or data.recent else "main", "checklist", _checklist(steps)
        )


def _sentence(data: Data) -> str:
    if data.running:
        names = ", ".join(one.name for one in data.running[:2])
        return f"{names} {'is' if len(data.running) == 1 else 'are'} running."
    if data.recent:
        return "Nothing is running."
    return "Tune a language model on your own data, on this machine."


def _tiles(data: Data) -> list[tuple[str, str, str]]:
    status = data.status
    memory = f"{words.size(status.memory_used_bytes)} of {words.size(status.memory_total_bytes)} memory"
    return [
        ("Running", str(len(data.running)), f"{len(data.queued)} queued"),
        ("Experiments finished", words.count(data.finished), ""),
        ("Data sets", words.count(data.datasets), ""),
        (status.device, f"{status.load_percent} % busy", memory),
        ("Free disk space", words.size(status.disk_free_bytes), f"of {words.size(status.disk_total_bytes)}"),
    ]


def _now(data: Data) -> list[Any]:
    items: list[Any] = [build.heading("Running now")]
    for one in data.running[:5]:
        eta = words.about(one.eta_seconds)
        note = " · ".join(part for part in (one.phase, f"{eta} left" if eta else "") if part)
        items.extend(
            build.progress(f"progress_{one.id}", one.name, one.progress, note=note, address=f"#experiment/{one.id}")
        )
    for one in data.queued[:5]:
        link = text.link(one.name, f"#experiment/{one.id}")
        items.append(build.line(f"queued_{one.id}", f"{link} {build.status_tag('queued')}"))
    return items


def _recent(data: Data) -> list[Any]:
    columns = [
        Column(name="name", label="Experiment", kind="link"),
        Column(name="status", label="Status", kind="status"),
        Column(name="dataset", label="Data set"),
        Column(name="score", label="BLEU before → best"),
        Column(name="when", label="Ended"),
    ]
    rows = [
        Row(
            name=one.id,
            cells={
                "name": one.name,
                "status": one.status,
                "dataset": one.dataset_name,
                "score": _score(one),
                "when": words.ago(one.ended_at, data.now),
            },
        )
        for one in data.recent
    ]
    return [build.heading("Recent experiments"), short_table("recent", columns, rows, address="#experiment/")]


def _score(one: ExperimentRecord) -> str:
    before, best = (one.scores.get(part, {}).get("bleu") for part in ("before", "best"))
    return "–" if best is None else f"{words.score(before, 1)} → {words.score(best, 1)}"


def _steps(data: Data) -> list[tuple[str, bool, str]]:
    return [
        ("Import a data set", data.datasets > 0, "#import"),
        ("Start an experiment", bool(data.running or data.queued or data.recent), "#new"),
        ("Talk to the tuned model", data.has_chatted, "#chat"),
        ("Compare two experiments", data.finished >= 2, "#compare"),
    ]


def _checklist(steps: list[tuple[str, bool, str]]) -> list[Any]:
    hint = "The bundled model and sample data need no network; the first result is there in a few minutes."
    return [build.heading("First steps", hint=hint), build.checklist("steps", steps)]


PAGE = Page(
    route="home",
    title="Home",
    section="home",
    load=load,
    cards=cards,
    refresh_seconds=1.0,
)
