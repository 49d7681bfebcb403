"""Goes once through all rows: which can be used, why the others cannot, and which prompts are the same."""

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from llm_studio.config import DatasetSettings
from llm_studio.data.dataset import Table
from llm_studio.data.layouts import layout_of
from llm_studio.data.types import Message, Problem, RowError
from llm_studio.errors import UserError

EXAMPLE_ROWS = 10
DIFFERENT_REASONS = 20


@dataclass(frozen=True, eq=False)
class Scan:
    """What is known of every row, in the order of the table."""

    prompts: npt.NDArray[np.uint64]
    """[rows] hash of the normalised prompt; equal prompts have equal hashes."""
    usable: npt.NDArray[np.bool_]
    """[rows] whether the layout can read the row."""
    problems: tuple[Problem, ...]
    """Why rows cannot be used, the most frequent reason first; `rows` holds the first ones."""


def check_columns(settings: DatasetSettings, names: tuple[str, ...]) -> None:
    """Whether the settings name columns that there are and that fit together.

    Raises:
        UserError: a needed column is not chosen, is not in the table, or is both prompt and answer.
    """
    if settings.layout == "messages":
        needed = {"Messages column": settings.messages_column}
    else:
        needed = {"Answer column": settings.answer_column}
    for title, name in needed.items():
        if not name:
            raise UserError(f"No {title.lower()} is chosen.", where=title, fix=f"Choose one of: {', '.join(names)}.")
    for name in layout_of(settings).columns(settings):
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean “{near[0]}”? " if near else ""
            raise UserError(
                f"The table has no column “{name}”.", where="columns", fix=f"{hint}It has: {', '.join(names)}."
            )
    if settings.layout == "instruction":
        used = [*settings.prompt_column, settings.answer_column, settings.system_column]
        twice = next((name for name in used if name and used.count(name) > 1), None)
        if twice:
            raise UserError(
                f"The column “{twice}” is chosen twice.",
                where="columns",
                fix="Choose different columns for system, prompt and answer.",
            )


def scan(
    table: Table,
    settings: DatasetSettings,
    *,
    limit: int | None = None,
    tell: Callable[[int], None] = lambda rows: None,
) -> Scan:
    """Reads all rows (or the first `limit`) block by block; `tell` hears how many are done and may raise Cancelled."""
    layout = layout_of(settings)
    prompts: list[int] = []
    usable: list[bool] = []
    found: dict[tuple[str, str], tuple[int, list[int]]] = {}
    for batch in table.batches(layout.columns(settings)):
        for cells in batch.to_pylist():
            try:
                prompts.append(prompt_hash(layout.messages(cells, settings)))
                usable.append(True)
            except RowError as error:
                key = (error.column, error.reason)
                if key not in found and len(found) >= DIFFERENT_REASONS:
                    key = (error.column, "the row does not fit the layout for another reason")
                count, rows = found.get(key, (0, []))
                found[key] = (count + 1, [*rows, len(usable)] if count < EXAMPLE_ROWS else rows)
                prompts.append(0)
                usable.append(False)
            if limit is not None and len(usable) >= limit:
                break
        tell(len(usable))
        if limit is not None and len(usable) >= limit:
            break
    problems = [
        Problem("leaves out", reason, column=column, count=count, rows=tuple(rows))
        for (column, reason), (count, rows) in found.items()
    ]
    problems.sort(key=lambda problem: -problem.count)
    return Scan(np.array(prompts, dtype=np.uint64), np.array(usable, dtype=np.bool_), tuple(problems))


def prompt_hash(messages: tuple[Message, ...]) -> int:
    """64 bits of the first user message, normalised; of the whole conversation where there is none."""
    first = next((one.content for one in messages if one.role == "user"), "")
    normal = normalised(first) or "\n".join(one.content for one in messages)
    return int.from_bytes(hashlib.blake2b(normal.encode(), digest_size=8).digest(), "little")


def normalised(text: str) -> str:
    """Equal for texts that differ only in case, white space or the way Unicode composes a character."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
