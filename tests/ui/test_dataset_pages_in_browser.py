"""Importing a file as a person does: upload, look, change and set back, go back, reload, finish, rename, delete."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Studio

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="window.hacked=1">'


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True).first


def choose(page: Any, studio: Studio, name: str, option: str) -> None:
    page.locator(f'[data-test="{name}"]').click()
    studio.act(page, page.get_by_role("option", name=option, exact=True).click)


def test_a_file_becomes_a_data_set(studio: Studio, page: Any, tmp_path: Path) -> None:
    path = tmp_path / "my questions.jsonl"
    rows = [{"question": f"Question {index}?", "answer": f"Answer {index} {HOSTILE}"} for index in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    studio.open(page, "#import")
    page.set_input_files("#upload", path)
    button(page, "Upload and read").click()
    page.locator('[data-test="columns_card"]').wait_for()
    assert page.url.endswith("/columns")
    first = page.locator(".ls-bubble-user").first
    assert "Question 0?" in first.inner_text()
    choose(page, studio, "set/answer_column", "question")
    assert "Answer 0" in first.inner_text()
    choose(page, studio, "set/answer_column", "answer")
    assert "Question 0?" in first.inner_text()
    size = page.locator('[data-test="set/validation_size"]')
    studio.act(page, lambda: size.fill("10 rows"))
    studio.settled(page)
    assert size.input_value() == "10 rows"
    assert size.evaluate("field => field === document.activeElement")
    studio.act(page, button(page, "Continue").click)
    page.locator('[data-test="name"]').wait_for()
    page.go_back()
    page.locator('[data-test="columns_card"]').wait_for()
    page.go_forward()
    page.locator('[data-test="name"]').wait_for()
    page.reload()
    page.locator('[data-test="name"]').wait_for()
    assert page.locator('[data-test="name"]').input_value() == "my questions"
    studio.act(page, button(page, "Import data set").click)
    page.get_by_text("my questions is imported.").wait_for()
    button(page, "Look at the data set").click()
    page.locator('[data-test="rows"]').wait_for()
    studio.act(page, page.get_by_text("4", exact=True).first.click)
    page.get_by_text("As the model gets it").wait_for()
    assert page.evaluate("window.hacked") is None
    studio.open(page, "#datasets")
    page.locator('[data-test="commands"]').first.click()
    studio.act(page, page.get_by_role("menuitem", name="Delete").click)
    studio.act(page, button(page, "Delete data set").click)
    page.get_by_text("No data sets yet").wait_for()


def test_a_bad_file_is_explained_and_nothing_is_kept(studio: Studio, page: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("question,answer\na,b\na,b,c\na,b,c\n")
    studio.open(page, "#import")
    page.set_input_files("#upload", path)
    button(page, "Upload and read").click()
    page.get_by_text("Row 2 has 3 values").wait_for()
    assert "bad.csv, row 2 (line 3)" in page.locator('[data-test="failed_card"]').inner_text()
    assert list(studio.home.joinpath("staging").iterdir()) == []
    assert list(studio.home.joinpath("uploads").iterdir()) == []
    button(page, "Choose another file").click()
    page.locator('[data-test="upload_card"]').wait_for()
