"""Figures of pre-flights: found for an hour, and never mistaken."""

import os
import time
from pathlib import Path

import pytest

from llm_studio.errors import BugError
from llm_studio.store import Home
from llm_studio.store.preflights import FOLDER, FRESH_SECONDS, KEPT_SECONDS, Preflights


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def aged(home: Home, key: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(home.cache / FOLDER / f"{key}.json", (then, then))


def test_figures_are_found_for_an_hour(home: Home) -> None:
    kept = Preflights(home)
    assert kept.get("ab") is None
    kept.put("ab", {"peak_bytes": 1, "step_seconds": 0.5})
    assert Preflights(home).get("ab") == {"peak_bytes": 1, "step_seconds": 0.5}
    aged(home, "ab", FRESH_SECONDS + 1)
    assert kept.get("ab") is None


def test_figures_of_other_days_are_removed_when_new_ones_come(home: Home) -> None:
    kept = Preflights(home)
    kept.put("old", {})
    aged(home, "old", KEPT_SECONDS + 1)
    kept.put("new", {})
    assert [path.name for path in (home.cache / FOLDER).iterdir()] == ["new.json"]


def test_a_damaged_file_counts_as_none_and_a_key_never_becomes_a_path(home: Home) -> None:
    kept = Preflights(home)
    kept.put("ab", {})
    (home.cache / FOLDER / "ab.json").write_text('{"peak')
    assert kept.get("ab") is None
    with pytest.raises(BugError):
        kept.get("../studio")
