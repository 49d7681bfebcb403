"""The file of further weights that a config names; imports no torch, so that actions and pages can ask for it."""

import hashlib
from pathlib import Path

from llm_studio.config import ExperimentConfig
from llm_studio.errors import UserError

SETTING = "architecture.pretrained_weights"


def file_of(config: ExperimentConfig) -> Path | None:
    """The file that is set, None when none is.

    Raises:
        UserError: there is no such file.
    """
    name = config.architecture.pretrained_weights.strip()
    if not name:
        return None
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise UserError(f"There is no file {name}.", where=SETTING, fix="Correct the path, or leave the setting empty.")


def stamp(config: ExperimentConfig) -> list[tuple[str, int, int]]:
    """Path, size and time of the file; empty while none is set or there."""
    path = Path(config.architecture.pretrained_weights.strip()).expanduser()
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns)] if path.is_file() else []


def fingerprint(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
