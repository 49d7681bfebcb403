"""One file per place that data comes from; each gives a file on this machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from llm_studio.catalog.connectors import CONNECTORS
from llm_studio.errors import UserError
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
"""What the user chose: "kind" names the connector, the rest is the connector's."""


def find_file(store: Store, source: Source) -> SourceFile:
    """The file that a source means.

    Raises:
        UserError: no such connector, or what the connector says.
    """
    entries = {entry.name: entry for entry in CONNECTORS}
    kind = str(source.get("kind", ""))
    if kind not in entries:
        raise UserError(f"There is no source {kind!r}.", where="source", fix=f"Take one of: {', '.join(entries)}.")
    module, function = entries[kind].function.split(":")
    find: Callable[[Store, Source], SourceFile] = getattr(import_module(module), function)
    return find(store, source)
