"""Prints records as an aligned table for people or as JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from llm_studio.store import Home, Store


def open_store() -> Store:
    """The store of the studio's home (`LLM_STUDIO_HOME`, else the platform's user data folder)."""
    home = Home.default()
    home.create()
    return Store.open(home)


def plain(value: Any) -> Any:
    """A record as JSON-ready data."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def print_json(value: Any) -> None:
    """One JSON document; NaN never occurs in it."""
    json.dump(plain(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    print()


def print_table(rows: Sequence[Mapping[str, object]], empty: str) -> None:
    """Columns as wide as their widest cell; `empty` when there is no row."""
    if not rows:
        print(empty)
        return
    titles = list(rows[0])
    cells = [[" ".join(str(row[title]).split()) for title in titles] for row in rows]
    widths = [max(len(title), *(len(line[i]) for line in cells)) for i, title in enumerate(titles)]
    for line in [titles, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def duration(seconds: float | None) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12 s`; a dash when unknown."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
