"""`llm-studio dataset inspect`: the three files of real data are understood with no hint, and nothing is imported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_studio.cli import main
from llm_studio.store import Home, Store

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command in a new home and gives what it printed as JSON."""
    monkeypatch.setenv("LLM_STUDIO_HOME", str(tmp_path / "home"))

    def go(path: Path, *more: str) -> dict[str, Any]:
        if not path.is_file():
            pytest.skip(f"{path.name} is not here: the folder of real data is not part of a clone")
        assert main(["dataset", "inspect", str(path), "--json", *more]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return go


@pytest.mark.parametrize(
    ("name", "layout", "rows", "settings"),
    [
        (
            "alpaca_en_demo.json",
            "instruction",
            999,
            {"prompt_column": ["instruction", "input"], "answer_column": "output"},
        ),
        ("gsm8k_train.jsonl", "instruction", 7473, {"prompt_column": ["question"], "answer_column": "answer"}),
        ("dpo_en_demo.json", "preference", 300, {"answer_column": "chosen", "rejected_answer_column": "rejected"}),
    ],
)
def test_real_files_are_recognised_with_no_hint(
    name: str, layout: str, rows: int, settings: dict[str, Any], inspect: Callable[..., Any]
) -> None:
    found = inspect(SHARED / name)
    assert (found["layout"], found["rows"]) == (layout, rows)
    assert {key: found["settings"][key] for key in settings} == settings
    assert found["reason"] and "error" not in found
    assert found["train_rows"] + found["validation_rows"] == rows


def test_tokens_are_counted_with_a_backbone_and_nothing_is_left(tmp_path: Path, inspect: Callable[..., Any]) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"What is {i} and {i}?", "answer": f"It is {2 * i}."} for i in range(60)]
    rows += [
        {"question": "And this?", "answer": ""},
        {"question": "Mail?", "answer": "Write to office@harbour-museum.net today."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n")
    found = inspect(path, "--backbone", "starter")
    assert found["tokens"]["backbone"] == "starter" and 0 < found["tokens"]["learned_share"] < 1
    assert [one["count"] for one in found["unusable"] if one["severity"] == "leaves out"] == [1, 1]
    assert any(one["check"] == "personal_data" and one["rows"] == [62] for one in found["findings"])
    home = Home(tmp_path / "home")
    store = Store.open(home)
    assert store.datasets.list() == [] and list(home.staging.iterdir()) == []
    assert not list(home.path.glob("inspect-*"))
    store.close()


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, inspect: Callable[..., Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "x", "answer": ""}\n' * 5)
    assert "None of the 5 rows can be used" in inspect(path)["error"]["what"]
