"""What every check of the health report promises."""

import pytest

from llm_studio.catalog.checks import CHECKS, Check
from llm_studio.data.fixes.recipe import Recipe, recipe_step_for
from llm_studio.data.health.findings import SEVERITIES, Finding
from llm_studio.data.health.report import watch_of
from llm_studio.data.health.watching import Context, Seen, Watch
from llm_studio.data.types import Message
from tests.data.health.conftest import clean_pairs
from tests.data.test_personal import GENUINE

CONTEXT = Context(("q", "a"), (), own_file=False, expects_prompts=True)
LONG = "The committee met on Monday and agreed on the plan for the coming year without much debate"
Pair = tuple[str, str]
BAD: dict[str, list[Pair]] = {
    "overlap": [("The very same question?", f"{LONG}.")],
    "near_overlap": [(f"{LONG}, and what do you say to that at {{place}}?", f"{LONG} {{place}}.")],
    "duplicates": [("The very same question?", f"{LONG}.")],
    "near_duplicates": [(f"{LONG}, and what do you say to that?", f"It is so, and {LONG}, as told in {{place}}.")],
    "contradictions": [("The very same question?", "{place}")],
    "role_order": [],
    "empty_prompts": [(" ", f"{LONG}.")],
    "short_answers": [("What is it?", "N/A")],
    "cut_off": [("What is it?", f"{LONG} of the")],
    "refusals": [("What is it?", "As an AI language model, I cannot say what it is.")],
    "languages": [
        ("Was ist es?", "Das ist eine gute Frage, denn nur wenige wissen, wie der Fluss zu seinem Namen kam.")
    ],
    "encoding": [("What is it?", "It is a cafÃ© on the corner.")],
    "personal_data": [("What is it?", GENUINE["e_mail"][0])],
    "secrets": [("What is it?", GENUINE["aws_key"][0])],
    "labels": [("What is it?", "the only answer")],
    "white_space": [("What is it? ", f"{LONG}.")],
}
"""Pairs that a check must report when they stand in both parts; {place} differs from row to row."""


def seen(part: str, row: int, pair: Pair) -> Seen:
    question, answer = pair
    messages = (Message("user", question), Message("assistant", answer, learned=True))
    return Seen(part, row, messages)


def good_pairs(check: Check, part: str) -> list[Pair]:
    """40 pairs that are fine, for the checks of near-duplicates ones of which no two are alike."""
    if check.name.startswith("near"):
        return clean_pairs(80)[:40] if part == "train" else clean_pairs(80)[40:]
    return [(f"What is {part} {row}?", f"{LONG} of {part} {row}.") for row in range(40)]


def show(watch: Watch, check: Check, *, bad: int) -> list[Finding]:
    """40 good and some bad rows of each part; labels see only bad ones, for free text has no labels."""
    looked = {"train": 0, "validation": 0}
    for part in ("train", "validation"):
        rows = []
        if check.name != "labels" or not bad:
            rows += [seen(part, row, pair) for row, pair in enumerate(good_pairs(check, part))]
        for row in range(bad):
            for question, answer in BAD[check.name]:
                place = f"{part}{row}"
                rows.append(
                    seen(part, 40 + row, (question.replace("{place}", place), answer.replace("{place}", place)))
                )
            if check.name == "role_order":
                twice = (Message("user", "One?"), Message("user", "Two?"), Message("assistant", LONG, learned=True))
                rows.append(Seen(part, 40 + row, twice))
        for one in rows:
            watch.look(one)
        looked[part] = len(rows)
    return watch.found(looked, lambda share, words: None)


@pytest.fixture(params=CHECKS, ids=lambda check: check.name)
def check(request: pytest.FixtureRequest) -> Check:
    found: Check = request.param
    return found


def test_reports_bad_rows_with_number_reason_and_fix(check: Check) -> None:
    found = show(watch_of(check, CONTEXT), check, bad=3 if check.name != "labels" else 30)
    assert found and len({one.name for one in found}) == len(found)
    for one in found:
        assert one.check == check.name and one.name.startswith(check.name) and one.name.endswith(one.part)
        assert SEVERITIES.index(one.severity) <= SEVERITIES.index(check.severity)
        assert all(text.endswith(".") for text in (one.what, one.why, one.fix))
        assert len(one.rows) == one.count and 0 <= one.share <= 1
        assert set(one.rows.tolist()) <= set(range(40, 70)), "a good row is listed"
        assert all(example.reason for example in one.examples) and len(one.examples) == min(one.count, 20)


def test_a_remedy_is_a_step_that_a_recipe_takes(check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
    for one in show(watch_of(check, CONTEXT), check, bad=3):
        if one.remedy is not None:
            folder = tmp_path_factory.mktemp("set")
            recipe = Recipe(folder, [recipe_step_for(one)])
            recipe.save()
            assert Recipe.load(folder).fingerprint == recipe.fingerprint
            assert recipe.edits or recipe.dropped(100).sum() == one.count


def test_says_nothing_about_good_rows(check: Check) -> None:
    assert show(watch_of(check, CONTEXT), check, bad=0) == []


def test_says_nothing_when_there_are_no_rows(check: Check) -> None:
    assert watch_of(check, CONTEXT).found({"train": 0, "validation": 0}, lambda share, words: None) == []


def test_every_check_is_tried_here_and_has_words() -> None:
    assert set(BAD) == {check.name for check in CHECKS}
    for check in CHECKS:
        assert check.severity in SEVERITIES
        assert check.title[0].isupper() and not check.looks_for.endswith(".")
