"""The files of an experiment: its checkpoints, and exports that are built in a process of their own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_studio.actions.experiments import size_of
from llm_studio.actions.exports import start_export
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, JobRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Event, Outcome, download, stay

EXPORTS = {
    "adapter": ("Adapter", "The tuned LoRA weights alone: small, and to be used with the same backbone."),
    "merged": (
        "Merged model",
        "Backbone and adapter in one: safetensors, tokenizer and chat template, ready to be served.",
    ),
}
CHECKPOINTS = {
    "best": "The weights with the best score; chat and export use them.",
    "last": "The weights at the end.",
    "resume": "The state that Continue goes on from: weights, optimiser and schedule.",
}


@dataclass(frozen=True)
class Body:
    """checkpoints: (name, bytes, changed at). jobs: the newest one by what. others: other files and size."""

    checkpoints: tuple[tuple[str, int, float], ...]
    jobs: dict[str, JobRecord]
    has_adapter: bool
    equality: str
    others: tuple[tuple[str, int], ...]


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Looks into the folder and at the export jobs."""
    folder = ctx.home.experiment(record.id)
    checkpoints = [folder / "checkpoints" / name for name in CHECKPOINTS]
    jobs: dict[str, JobRecord] = {}
    for job in ctx.store.jobs.list(kind="export", subject=record.id):  # newest first
        jobs.setdefault(str(job.params.get("what")), job)
    names = ("charts.db", "log.txt", "config.yaml")
    others = [(name, (folder / name).stat().st_size) for name in names if (folder / name).is_file()]
    others += [("predictions", size_of(folder / "predictions"))] if (folder / "predictions").is_dir() else []
    return Body(
        checkpoints=tuple((path.name, size_of(path), path.stat().st_mtime) for path in checkpoints if path.is_dir()),
        jobs=jobs,
        has_adapter=any((path / "adapter_config.json").is_file() for path in checkpoints),
        equality=equality_of(folder / "export" / "equality.json"),
        others=tuple(others),
    )


def equality_of(path: Path) -> str:
    """The sentence on how the merged model compares with the tuned one."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("sentence", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """Exports, then what lies in the folder."""
    yield build.form("main", "exports_card", list(export_items(record, body)))
    yield build.form("side", "files_card", file_items(body))


def export_items(record: ExperimentRecord, body: Body) -> Iterator[Any]:
    """A part per export: what it is, its progress or its download."""
    yield build.heading("Take the model with you")
    if not body.checkpoints:
        yield build.paragraph(
            "Nothing has been saved yet; exports are possible once there is a checkpoint.", quiet=True
        )
        return
    if record.status in ("queued", "running"):
        yield build.paragraph("Exports are possible once the experiment has ended or was stopped.", quiet=True)
        return
    for what, (title, hint) in EXPORTS.items():
        if what == "adapter" and not body.has_adapter:
            continue
        yield build.heading(title, hint=hint, name=f"export_{what}_title")
        yield from one_export(what, body.jobs.get(what), body.equality if what == "merged" else "")


def one_export(what: str, job: JobRecord | None, equality: str) -> Iterator[Any]:
    """A button that builds it, how far it is, or the finished file."""
    label = "Build again" if job is not None else f"Build the {EXPORTS[what][0].lower()}"
    if job is not None and job.status in ("queued", "running"):
        yield from build.progress(
            f"export_{what}_progress", job.message or "Building", job.progress, cancel=f"cancel_export/{job.id}"
        )
        return
    if job is not None and job.status == "failed":
        yield build.error_bar(job.error or {"what": "The export failed."}, name=f"export_{what}_error")
    if job is not None and job.status == "done":
        result = job.result or {}
        found = result.get("equality")
        sentence = str(found.get("sentence", "")) if isinstance(found, dict) else equality
        if sentence:
            yield build.finding_bar("success", sentence, name=f"export_{what}_equality")
        size = result.get("size_bytes")
        words_ = f"Download {words.size(size)}" if isinstance(size, int) else "Download"
        yield build.row(build.button(f"download_{what}", words_), build.button(f"export/{what}", label))
        return
    yield build.row(build.button(f"export/{what}", label))


def file_items(body: Body) -> list[Any]:
    """Checkpoints and other files with their sizes."""
    items: list[Any] = [build.heading("Checkpoints")]
    if body.checkpoints:
        kept = [
            (name, f"{words.size(size)}, saved {words.ago(saved)}. {CHECKPOINTS[name]}")
            for name, size, saved in body.checkpoints
        ]
        items.append(build.pairs("checkpoints", kept))
    else:
        items.append(build.paragraph("None yet.", quiet=True))
    if body.others:
        items += [
            build.heading("Other files"),
            build.pairs("other_files", [(name, words.size(size)) for name, size in body.others]),
        ]
    return items


def export(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for an export; a data job builds it."""
    start_export(ctx.store, args[0], event.argument)
    return stay()


def cancel_export(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Ends an export that is being built."""
    ctx.store.jobs.request_cancel(event.argument)
    return stay("The export is cancelled.", "info")


def download_export(what: str) -> Any:
    """The action that hands out one kind of export."""

    def hand_out(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
        record = ctx.store.experiments.get(args[0])
        jobs = ctx.store.jobs.list(kind="export", subject=record.id, status="done")
        job = next((job for job in jobs if job.params.get("what") == what), None)
        path = Path(str((job.result or {}).get("path", ""))) if job else None
        if path is None or not path.is_file() or not path.is_relative_to(ctx.home.experiment(record.id)):
            raise UserError("This file is not there any more.", fix="Build it again.")
        return download(path, f"{record.name} {what}.zip")

    return hand_out


ACTIONS = {
    "export": export,
    "cancel_export": cancel_export,
    "download_adapter": download_export("adapter"),
    "download_merged": download_export("merged"),
}
