"""Makes a data set of given rows in a store, the way the command line does."""

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from llm_studio.actions.imports import import_dataset
from llm_studio.store import Store


def make_dataset(store: Store, rows: Iterable[Mapping[str, Any]], **more: Any) -> str:
    """The id of a new data set; `more` goes to `import_dataset`."""
    path = store.home.path / f"rows-{secrets.token_hex(4)}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    try:
        return import_dataset(store, {"kind": "local", "path": str(path)}, **more).id
    finally:
        path.unlink()
