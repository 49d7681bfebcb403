"""A recipe: steps are kept, undone and applied; its fingerprint tells what it does to the rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm_studio.data.fixes.recipe import RECIPE, Kind, Recipe, Step, recipe_step_for
from llm_studio.data.health.findings import Finding, Remedy
from llm_studio.errors import UserError


def drop(*rows: int, kind: Kind = "drop") -> Step:
    return Step(kind, {}, "Two rows are empty.", len(rows), 1.5, np.array(rows, dtype=np.int64))


def text_step(kind: Kind, **params: object) -> Step:
    return Step(kind, {"columns": ["a"], **params}, "It has to be.", 1, 2.5)


def edited(kind: Kind, text: str, **params: object) -> str | None:
    recipe = Recipe(Path("nowhere"), [text_step(kind, **params)])
    return recipe.edit({"a": text, "b": text})["a"]


def test_an_empty_recipe_changes_nothing(tmp_path: Path) -> None:
    recipe = Recipe.load(tmp_path)
    cells = {"a": " x "}
    assert (recipe.steps, recipe.fingerprint, recipe.edits) == ((), "", False)
    assert not recipe.dropped(5).any() and recipe.dropped(5).shape == (5,)
    assert recipe.edit(cells) is cells


def test_is_the_same_after_being_saved(tmp_path: Path) -> None:
    recipe = Recipe.load(tmp_path)
    recipe.add_step(drop(1, 3))
    recipe.add_step(text_step("replace", find="x", replacement="y"))
    recipe.add_step(drop(4, kind="deduplicate"))
    recipe.save()
    again = Recipe.load(tmp_path)
    assert again.fingerprint == recipe.fingerprint
    assert [(one.kind, one.params, one.why, one.rows_changed, one.made_at) for one in again.steps] == [
        (one.kind, one.params, one.why, one.rows_changed, one.made_at) for one in recipe.steps
    ]
    assert again.dropped(6).tolist() == [False, True, False, True, True, False]
    assert again.edits and again.edit({"a": "x", "b": None}) == {"a": "y", "b": None}


def test_steps_are_undone_in_any_order_and_their_files_go(tmp_path: Path) -> None:
    recipe = Recipe.load(tmp_path)
    recipe.add_step(drop(1))
    one = recipe.fingerprint
    recipe.add_step(drop(2))
    recipe.save()
    both = recipe.fingerprint
    assert recipe.undo(0).rows_changed == 1
    recipe.save()
    assert Recipe.load(tmp_path).dropped(3).tolist() == [False, False, True]
    assert len(list((tmp_path / "recipe").glob("*.npy"))) == 1
    assert len({one, both, recipe.fingerprint}) == 3
    recipe.undo_last()
    recipe.save()
    assert recipe.fingerprint == "" and not Recipe.load(tmp_path).dropped(3).any()
    assert list((tmp_path / "recipe").glob("*.npy")) == []
    with pytest.raises(UserError, match="no step"):
        recipe.undo_last()


def test_the_fingerprint_tells_rows_params_and_order_but_not_time_or_reason() -> None:
    def of(*steps: Step) -> str:
        return Recipe(Path("nowhere"), steps).fingerprint

    trim, lower = text_step("trim"), text_step("replace", find="x", replacement="y")
    same = Step("drop", {}, "Other words.", 9, 99.0, np.array([1, 2]))
    assert of(drop(1, 2)) == of(same)
    assert len({of(drop(1)), of(drop(2)), of(drop(1, 2)), of(trim), of(trim, lower), of(lower, trim)}) == 6


def test_rows_beyond_the_table_are_passed_over() -> None:
    assert Recipe(Path("nowhere"), [drop(0, 7)]).dropped(2).tolist() == [True, False]


def test_text_steps_change_only_their_columns_and_leave_missing_values() -> None:
    recipe = Recipe(Path("nowhere"), [text_step("trim")])
    assert recipe.edit({"a": "  x ", "b": " y "}) == {"a": "x", "b": " y "}
    untouched = {"a": None, "b": " y "}
    assert recipe.edit(untouched) is untouched


def test_replaces_text_expressions_and_known_patterns() -> None:
    assert edited("replace", "a.b", find=".", replacement="-") == "a-b"
    assert edited("replace", "Tel 12", find=r"(?i)tel (\d+)", regex=True, replacement=r"\1") == "12"
    assert edited("replace", "to jo@bank.de", known="e_mail", replacement="[e-mail]") == "to [e-mail]"
    assert edited("replace", "to jo@example.com", known="e_mail", replacement="[e-mail]") == "to jo@example.com"


def test_repairs_mojibake_and_leaves_good_writing_alone() -> None:
    assert edited("repair", "cafÃ© isnâ€™t open") == "café isn’t open"
    for good in ("café “isn’t” ﬁne", "Ｗｉｄｅ 全角", "a\r\nb\tc", "a &amp; b", "naïve Ã"):
        assert edited("repair", good) == good


def test_inside_lists_of_messages_texts_are_edited_and_roles_are_not() -> None:
    cell = json.dumps([{"role": "user", "content": " user writes jo@bank.de "}, {"role": "assistant", "content": "ok"}])
    recipe = Recipe(
        Path("nowhere"),
        [
            Step("replace", {"columns": ["m"], "nested": ["m"], "find": "user", "replacement": "x"}, "", 1, 0.0),
            Step("trim", {"columns": ["m"], "nested": ["m"]}, "", 1, 0.0),
            Step("repair", {"columns": ["m"], "nested": ["m"]}, "", 1, 0.0),
        ],
    )
    done = json.loads(recipe.edit({"m": cell})["m"] or "")
    assert done == [{"role": "user", "content": "x writes jo@bank.de"}, {"role": "assistant", "content": "ok"}]
    broken = {"m": "[not json"}
    assert recipe.edit(broken) is broken


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"find": "(", "regex": True}, "regular expression"),
        ({"find": "a", "regex": True, "replacement": r"\2"}, "regular expression"),
        ({"find": ""}, "nothing to find"),
        ({"known": "shoe_size"}, "known pattern"),
        ({"find": "a", "columns": []}, "no columns"),
        ({"find": "a", "columns": "a"}, "must be a list"),
    ],
)
def test_refuses_a_text_step_that_cannot_work(params: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        text_step("replace", **params)
    assert caught.value.fix


def test_refuses_kinds_that_do_not_exist_and_rows_where_none_belong() -> None:
    with pytest.raises(UserError, match="no step 'shuffle'"):
        Step("shuffle", {}, "", 0, 0.0)
    with pytest.raises(UserError, match="needs rows"):
        Step("drop", {}, "", 0, 0.0)
    with pytest.raises(UserError, match="takes no rows"):
        Step("trim", {"columns": ["a"]}, "", 0, 0.0, np.array([1]))


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text('[{"kind": "drop"}]')
    with pytest.raises(UserError, match="cannot be read") as caught:
        Recipe.load(tmp_path)
    assert caught.value.where.endswith(RECIPE) and caught.value.fix


def finding(remedy: Remedy | None) -> Finding:
    rows = np.array([2, 5], dtype=np.int64)
    return Finding("c", "c-train", "warning", "train", "2 rows are bad.", "", "Mend it.", 2, 0.1, (), remedy, rows)


def test_the_remedy_of_a_finding_becomes_a_step() -> None:
    step = recipe_step_for(finding(Remedy("drop")))
    assert (step.kind, step.why, step.rows_changed) == ("drop", "2 rows are bad.", 2)
    assert step.rows is not None and step.rows.tolist() == [2, 5]
    mask = recipe_step_for(finding(Remedy("replace", {"columns": ["a"], "known": "e_mail", "replacement": "[e-mail]"})))
    assert mask.rows is None and mask.params["known"] == "e_mail"


def test_a_finding_without_a_remedy_says_what_to_do_instead() -> None:
    with pytest.raises(UserError, match="No step cures this") as caught:
        recipe_step_for(finding(None))
    assert caught.value.fix == "Mend it."
