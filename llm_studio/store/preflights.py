"""Figures that pre-flights measured, one small file each: good for an hour, since the machine's load changes."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from llm_studio.store.home import Home, checked_id

FOLDER = "preflight"
FRESH_SECONDS = 3600.0
KEPT_SECONDS = 24 * 3600.0


class Preflights:
    """Figures by key; the key names everything that shapes them."""

    def __init__(self, home: Home) -> None:
        self._folder = home.cache / FOLDER

    def get(self, key: str) -> dict[str, Any] | None:
        """The figures of the last hour; None when there are none."""
        path = self._folder / f"{checked_id(key)}.json"
        try:
            if time.time() - path.stat().st_mtime > FRESH_SECONDS:
                return None
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, key: str, figures: Mapping[str, Any]) -> None:
        """Keep figures, and forget those of other days."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)
        path = self._folder / f"{checked_id(key)}.json"
        beside = path.with_suffix(f".{os.getpid()}.part")
        beside.write_text(json.dumps(dict(figures)), encoding="utf-8")
        beside.replace(path)
