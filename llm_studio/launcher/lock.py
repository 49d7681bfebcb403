"""One launcher per home: a lock on a file that also says where that studio is."""

import fcntl
import json
import os
from pathlib import Path

from llm_studio.errors import UserError


class HomeLock:
    """Held until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "launcher.json"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as busy:
            held = read(self._path)
            os.close(self._file)
            place = held.get("address") or "an address it has not opened yet"
            raise UserError(
                f"A studio is running on this home already, at {place}.",
                where=f"{folder.parent} (process {held.get('pid', 'unknown')})",
                fix="Open that address, stop that studio first, or set LLM_STUDIO_HOME to another folder.",
            ) from busy
        self.write(address="")

    def write(self, *, address: str) -> None:
        """Say where this studio is."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps({"pid": os.getpid(), "address": address}).encode(), 0)

    def release(self) -> None:
        """Let another launcher have the home."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def read(path: Path) -> dict[str, object]:
    """What the holder wrote; empty when there is nothing to read."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
