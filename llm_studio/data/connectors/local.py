"""Connector "local": a file in a folder of the server that the settings allow."""

from collections.abc import Sequence
from pathlib import Path

from llm_studio.data.connectors import Source, SourceFile
from llm_studio.data.reading import EXTENSIONS
from llm_studio.errors import UserError
from llm_studio.store import Store


def allowed_folders(store: Store) -> tuple[Path, ...]:
    """The folders that may be read, links resolved; preference "allowed_folders", empty at first."""
    stored = store.preferences.get("allowed_folders", [])
    folders = stored if isinstance(stored, list) else [stored]
    return tuple(Path(str(folder)).expanduser().resolve() for folder in folders if str(folder).strip())


def find(store: Store, source: Source) -> SourceFile:
    """The file, if it lies in an allowed folder once all links are followed.

    Raises:
        UserError: it lies elsewhere; the text does not say whether such a file exists.
    """
    path = resolved(str(source["path"]), allowed_folders(store))
    return SourceFile(path, path.name)


def find_trusted(source: Source) -> SourceFile:
    """The file, wherever it lies: for the command line, whose user may read it anyway."""
    path = Path(str(source["path"])).expanduser().resolve()
    return SourceFile(path, path.name)


def resolved(text: str, allowed: Sequence[Path]) -> Path:
    """The path without links, inside one of the folders."""
    path = Path(text.strip()).expanduser()
    if not path.is_absolute() and allowed:
        path = allowed[0] / path
    path = path.resolve()
    if not any(path.is_relative_to(folder) for folder in allowed):
        listed = ", ".join(map(str, allowed))
        raise UserError(
            f"{text} is not in a folder that may be read.",
            where=text,
            fix=f"Move the file into one of: {listed}." if listed else "Allow its folder under Settings first.",
        )
    return path


def list_files(store: Store) -> tuple[Path, ...]:
    """Files of a known format in the allowed folders and one level below, at most 500, hidden ones left out."""
    found: list[Path] = []
    for folder in allowed_folders(store):
        if not folder.is_dir():
            continue
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            inside = path.resolve().is_relative_to(folder)
            if not hidden and inside and path.suffix.lower() in EXTENSIONS and path.is_file():
                found.append(path)
            if len(found) >= 500:
                return tuple(found)
    return tuple(found)
