"""The data room as a person uses it: a broken file in, its report read, two fixes, what the model sees, a start."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.steps import button, choose, part
from tests.support.browser import Studio

JOB_SECONDS = 90

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SUBJECTS = ("harbour", "violin", "glacier", "orchard", "lantern", "compass", "meadow", "furnace", "bridge", "carpet")
ASKED = (
    "Who built it",
    "How old is it",
    "Where does it stand",
    "What is it made of",
    "Why is it famous",
    "Who owns it",
)


def talk(number: int) -> list[dict[str, str]]:
    """A conversation of four messages that is like no other."""
    one, two = SUBJECTS[number % 10], SUBJECTS[(number // 10) % 10]
    asked, then = ASKED[number % 6], ASKED[(number // 6) % 6]
    return [
        {"from": "human", "value": f"Tell me of the {one} in town {number}. {asked}?"},
        {"from": "gpt", "value": f"The {one} of town {number} was finished in {1500 + number} by {number * 7} people."},
        {"from": "human", "value": f"And the {two} beside it, number {number * 3}? {then}?"},
        {"from": "gpt", "value": f"Nobody knows that for certain, but {number * 11} letters speak of the {two}."},
    ]


def broken_file(folder: Path) -> Path:
    """ShareGPT rows: 200 good ones, ten that cannot be read, four repeated, six held out that are learned too."""
    rows: list[str] = []
    for number in range(200):
        place = "validation" if number >= 150 else "train"
        rows.append(json.dumps({"conversations": talk(number), "part": place}))
    rows += [json.dumps({"conversations": talk(3), "part": "train"})] * 4
    rows += [json.dumps({"conversations": talk(number), "part": "train"}) for number in range(150, 156)]
    rows[30:30] = [
        '{"conversations": [',
        "no JSON at all",
        "[1, 2]",
        '{"conversations": "\\ud800", "part": "train"}',
        "17",
    ]
    rows += ['{"conversations": [{"from": "human"', "{]", "also no JSON", '"text"', "{"]
    path = folder / "talks.jsonl"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def import_it(studio: Studio, page: Any, path: Path) -> str:
    """Upload, say that a column names the part, agree to leave the broken rows out; the data set's id."""
    studio.open(page, "#import")
    page.set_input_files("#upload", path)
    button(page, "Upload and read").click()
    part(page, "columns_card").wait_for()
    assert page.get_by_text("ShareGPT", exact=False).first.is_visible()
    choose(page, studio, "set/validation_strategy", "A column says which rows")
    choose(page, studio, "set/split_column", "part")
    studio.act(page, button(page, "Continue").click)
    part(page, "name").wait_for()
    assert page.get_by_text("10 rows cannot be used: not read from talks.jsonl", exact=False).first.is_visible()
    with page.expect_download() as held:
        button(page, "Download the 10 rows that did not fit").click()
    listed = [json.loads(line) for line in Path(held.value.path()).read_text(encoding="utf-8").splitlines()]
    assert [one["row"] for one in listed][:5] == [31, 32, 33, 34, 35] and all(one["reason"] for one in listed)
    button(page, "Import data set").click()
    page.get_by_text("rows cannot be used", exact=False).first.wait_for()
    studio.act(page, page.get_by_text("Leave out 10 rows that cannot be used").click)
    studio.act(page, button(page, "Import data set").click)
    page.get_by_text("is imported.").wait_for(timeout=1000 * JOB_SECONDS)
    button(page, "Look at the data set").click()
    page.wait_for_url("**#dataset/**")
    return str(page.url.rpartition("#dataset/")[2].split("/")[0])


def wait_for_report(page: Any, words: str) -> None:
    """Until the report of the rows as they are now is there and says this."""
    page.get_by_text(words, exact=False).first.wait_for(timeout=1000 * JOB_SECONDS)


def fix(studio: Studio, page: Any, card: str) -> None:
    """Press the fix of a finding and agree."""
    buttons = part(page, card).locator('button[data-test^="ask_fix/"]')
    buttons.first.wait_for()
    page.wait_for_function(
        "card => !document.querySelector(`[data-test=${card}] button[data-test^='ask_fix/']`).disabled",
        arg=card,
        timeout=1000 * JOB_SECONDS,
    )
    studio.act(page, buttons.first.click)
    page.locator(".ms-Dialog-main button.ms-Button--primary").click()
    part(page, card).wait_for(state="detached", timeout=1000 * JOB_SECONDS)


def test_a_broken_file_is_read_mended_looked_at_and_learned_from(own_studio: Studio, page: Any, tmp_path: Path) -> None:
    studio = own_studio
    dataset_id = import_it(studio, page, broken_file(tmp_path))
    studio.open(page, f"#dataset/{dataset_id}/health")
    part(page, "health_overlap_train").wait_for(timeout=1000 * JOB_SECONDS)
    assert part(page, "health_duplicates_train").is_visible()

    studio.open(page, f"#new/{dataset_id}")
    button(page, "Start").click()
    page.get_by_text("The experiment cannot start", exact=False).first.wait_for()

    studio.open(page, f"#dataset/{dataset_id}/health")
    fix(studio, page, "health_overlap_train")
    fix(studio, page, "health_duplicates_train")
    assert page.locator('[data-test^="undo_fix/"]').count() == 2

    studio.open(page, f"#dataset/{dataset_id}/sees")
    page.locator(".ls-token-learned").first.wait_for(timeout=1000 * JOB_SECONDS)
    part(page, "sees_curve").locator(".nsewdrag").first.wait_for()
    chart = part(page, "sees_curve").locator(".ls-chart")
    points = part(page, "sees_curve").locator(".scatterlayer .trace").last.locator(".points path")
    points.nth(2).wait_for()
    box, outer = points.nth(2).bounding_box(), chart.bounding_box()
    chart.click(
        position={"x": box["x"] + box["width"] / 2 - outer["x"], "y": box["y"] + box["height"] / 2 - outer["y"]}
    )
    page.wait_for_url("**limit=96*")
    page.get_by_text("New experiment with 96 tokens").first.wait_for(timeout=1000 * JOB_SECONDS)
    button(page, "New experiment with 96 tokens").click()
    page.wait_for_url("**#new/**")
    studio.settled(page)
    assert part(page, "cfg/tokenizer.max_length").input_value() == "96"
    studio.act(page, lambda: part(page, "cfg/experiment_name").fill("talks"))
    studio.settled(page)
    button(page, "Start").click()
    page.wait_for_url("**#experiment/**")
    page.get_by_text("Training", exact=False).first.wait_for(timeout=1000 * JOB_SECONDS)
    studio.act(page, button(page, "Stop").click)
    page.get_by_text("stopped", exact=False).first.wait_for(timeout=1000 * JOB_SECONDS)
