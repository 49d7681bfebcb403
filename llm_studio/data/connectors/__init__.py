"""One file per place that data comes from; each gives files on this machine, at once or in a data job."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from llm_studio.catalog.connectors import CONNECTORS, Connector
from llm_studio.data.reading.progress import Report
from llm_studio.errors import BugError, UserError
from llm_studio.store import Store


@dataclass(frozen=True)
class SourceFile:
    """A file to read: where it is, how the user calls it, whether it is ours to delete when it has been read."""

    path: Path
    name: str
    ours: bool = False
    title: str = ""
    """A better name for the data set than that of the file."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What the source itself says about its columns (names of DatasetSettings)."""


Source = Mapping[str, object]
"""What the user chose: "kind" names the connector, the rest is the connector's. Never holds a secret."""


def connector_of(source: Source) -> Connector:
    """The catalog line of a source.

    Raises:
        UserError: no such connector.
    """
    entries = {entry.name: entry for entry in CONNECTORS}
    kind = str(source.get("kind", ""))
    if kind not in entries:
        raise UserError(f"There is no source {kind!r}.", where="source", fix=f"Take one of: {', '.join(entries)}.")
    return entries[kind]


def find_file(store: Store, source: Source) -> SourceFile:
    """The file on this machine that a source means.

    Raises:
        UserError: no such connector, or what the connector says. BugError: the source is fetched by a job.
    """
    entry = connector_of(source)
    if entry.fetches:
        raise BugError(f"{entry.name} has no file before it is fetched")
    find: Callable[[Store, Source], SourceFile] = import_module(entry.module).find
    return find(store, source)


def check(store: Store, source: Source) -> None:
    """Whether the form of a source that is fetched is filled in; asks nothing of the network.

    Raises:
        UserError: an empty or malformed field, or a package that is not installed.
    """
    entry = connector_of(source)
    for one in entry.fields:
        if one.required and not str(source.get(one.name) or "").strip():
            raise UserError(
                f"{one.label} is empty.",
                where=f"{entry.title}, {one.label}",
                fix=f"{one.tooltip}" + (f" For example: {one.example}" if one.example else ""),
            )
    refuse_missing(entry)
    form_check: Callable[[Store, Source], None] = import_module(entry.module).check
    form_check(store, source)


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Brings the files of a source into `folder`, which exists and is empty; at least one.

    Raises:
        UserError: what is in the way. Cancelled: from `report`.
    """
    check(store, source)
    bring: Callable[[Store, Source, Path, Report], tuple[SourceFile, ...]] = import_module(
        connector_of(source).module
    ).fetch
    return bring(store, source, folder, report)


def refuse_missing(entry: Connector) -> None:
    """Says which package a connector lacks."""
    try:
        missing = bool(entry.requires) and find_spec(entry.requires) is None
    except ModuleNotFoundError:  # a package above it is not there
        missing = True
    if missing:
        raise UserError(
            f"The source {entry.title} needs the package {entry.package}, which is not installed.",
            where=entry.title,
            fix=f"Run on the server: {sys.executable} -m pip install {entry.package}",
        )


def address(source: Source) -> str:
    """A source in one line as the command line takes it; holds no secret."""
    entry = connector_of(source)
    if not entry.fetches:
        return str(source.get("name") or str(source.get("path", "")).rsplit("/", 1)[-1])
    words: Callable[[Source], str] = import_module(entry.module).address
    return words(source)


def text_of(source: Source, name: str) -> str:
    """A field of a source without outer white space; empty when it is not there."""
    return str(source.get(name) or "").strip()
