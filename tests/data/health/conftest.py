"""Makes data sets with planted rows and examines them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data import Dataset, open_dataset
from llm_studio.data.connectors import SourceFile
from llm_studio.data.health.findings import Finding
from llm_studio.data.health.report import Report, examine
from llm_studio.data.prepare import prepare
from llm_studio.data.staging import read_into_staging
from tests.data.planted import plant

Pair = tuple[str, str]
Chat = Sequence[Mapping[str, str]]
Make = Callable[..., Dataset]
Examine = Callable[..., Report]


def clean_pairs(count: int) -> list[Pair]:
    """Prompts and answers that no check has anything to say about: all different, all whole sentences."""
    texts = plant(count, 0, wanted=0.8, words=(40, 60)).texts
    return [
        (f"What is number {number} about, and why {' '.join(text.split()[:12])}?", f"It is about {text}.")
        for number, text in enumerate(texts)
    ]


def rows_named(report: Report, name: str) -> list[int]:
    """All rows of the finding of this name, of both parts; empty when there is none."""
    parts = (f"{name}-train", f"{name}-validation")
    return sorted(row for one in report.findings if one.name in parts for row in one.rows.tolist())


def named(report: Report, name: str) -> Finding:
    """The finding of this name."""
    return next(one for one in report.findings if one.name == name)


def quiet(share: float | None, words: str) -> None:
    """Hears the report and says nothing."""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Imports pairs or conversations, with the last rows as a validation file of its own when `own` is given."""

    def go(rows: Sequence[Pair] | Sequence[Chat], *, own: Sequence[Pair] | None = None) -> Dataset:
        folder = tmp_path / "set"

        def written(name: str, these: Sequence[Pair] | Sequence[Chat]) -> SourceFile:
            path = tmp_path / name
            lines = [
                {"q": row[0], "a": row[1]} if isinstance(row[0], str) else {"messages": list(row)} for row in these
            ]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            return SourceFile(path, name)

        held = written("held.jsonl", own) if own is not None else None
        read_into_staging(folder, written("rows.jsonl", rows), held, "a test", quiet)
        pairs = isinstance(rows[0][0], str)
        shape = {"prompt_column": ("q",), "answer_column": "a"} if pairs else {"layout": "messages"}
        if not pairs:
            shape["messages_column"] = "messages"
        if own is not None:
            shape["validation_strategy"] = "custom"
        prepare(folder, DatasetSettings.model_validate(shape), leave_out=True)
        return open_dataset(folder)

    return go


@pytest.fixture
def look(make: Make) -> Examine:
    """Imports rows and gives the report of all checks."""

    def go(rows: Sequence[Pair] | Sequence[Chat], *, own: Sequence[Pair] | None = None) -> Report:
        return examine(make(rows, own=own), quiet)

    return go
