"""Importing as the command line does: one call, no draft to look at."""

import json
from pathlib import Path

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.data import open_dataset
from llm_studio.errors import UserError
from llm_studio.store import Store
from tests.support.data_jobs import file_of, nothing_is_left


def test_the_command_line_imports_in_one_call(store: Store, tmp_path: Path) -> None:
    heard: list[str] = []
    record = actions.import_dataset(
        store,
        {"kind": "local", "path": str(file_of(tmp_path / "a b.jsonl"))},
        changes={"validation_size": 0.25},
        report=lambda share, words: heard.append(words),
    )
    assert (record.name, record.validation_rows) == ("a b", 10)
    assert "Checking every row: 40 of 40" in heard
    again = actions.import_dataset(store, {"kind": "local", "path": str(tmp_path / "a b.jsonl")})
    assert again.name == "a b 2"
    with pytest.raises(UserError, match="no column “nothing”"):
        actions.import_dataset(
            store, {"kind": "local", "path": str(tmp_path / "a b.jsonl")}, changes={"answer_column": "nothing"}
        )
    assert list(store.home.staging.iterdir()) == [] and len(store.datasets.list()) == 2


def test_conversations_without_an_answer_are_refused_on_the_command_line(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"conversations": [{"from": "human", "value": "x"}]}] * 3))
    with pytest.raises(UserError, match="None of the 3 rows can be used: there is no answer to learn"):
        actions.import_dataset(store, {"kind": "local", "path": str(path)})
    assert nothing_is_left(store)


def test_a_table_without_text_is_refused_with_the_reason_of_the_guess(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"n": number} for number in range(3)]))
    with pytest.raises(UserError, match="No column of “n” holds text that could be an answer"):
        actions.import_dataset(store, {"kind": "local", "path": str(path)})
    assert nothing_is_left(store)


def test_named_columns_go_over_a_guess_of_another_layout(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"text": f"A film that lasts {number} minutes", "label": ["good", "bad"][number % 2]} for number in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"kind": "local", "path": str(path)}
    assert actions.import_dataset(store, source).settings["layout"] == "labelled"
    record = actions.import_dataset(store, source, changes={"answer_column": "label"})
    assert record.settings["layout"] == "instruction" and record.train_rows > 0


def test_the_command_line_takes_an_own_validation_file(store: Store, tmp_path: Path) -> None:
    record = actions.import_dataset(
        store,
        {"kind": "local", "path": str(file_of(tmp_path / "a.jsonl"))},
        validation_file=file_of(tmp_path / "b.jsonl", 5),
    )
    assert (record.train_rows, record.validation_rows) == (40, 5)
    assert open_dataset(store.home.dataset(record.id)).split.own_file
