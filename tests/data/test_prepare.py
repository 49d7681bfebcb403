"""A folder of read rows becomes a data set: split on disk, consent, fingerprint, own validation file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data import Dataset, open_dataset
from llm_studio.data.connectors import SourceFile
from llm_studio.data.fixes.recipe import Recipe, Step
from llm_studio.data.prepare import prepare, preview
from llm_studio.data.staging import add_validation_file, read_into_staging
from llm_studio.errors import UserError

Make = Callable[..., Path]
COLUMNS = DatasetSettings(prompt_column=("q",), answer_column="a")


def quiet(share: float | None, words: str) -> None:
    """Hears the report and says nothing."""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A staging folder with rows (and validation rows) read into it."""

    def write(name: str, rows: list[dict[str, Any]]) -> SourceFile:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return SourceFile(path, name)

    def go(rows: list[dict[str, Any]], own: list[dict[str, Any]] | None = None, folder: str = "staged") -> Path:
        validation = write(f"{folder}-own.jsonl", own) if own is not None else None
        read_into_staging(tmp_path / folder, write(f"{folder}.jsonl", rows), validation, "a test", quiet)
        return tmp_path / folder

    return go


def rows(count: int) -> list[dict[str, Any]]:
    return [{"q": f"Question {index}", "a": f"Answer {index}"} for index in range(count)]


def prepared(folder: Path, settings: DatasetSettings = COLUMNS, **more: Any) -> Dataset:
    prepare(folder, settings, leave_out=more.get("leave_out", False))
    return open_dataset(folder)


def test_conversations_of_both_parts_are_those_of_the_split(make: Make) -> None:
    dataset = prepared(make(rows(100)))
    train, validation = dataset.conversations("train"), dataset.conversations("validation")
    assert (len(train), len(validation)) == (80, 20)
    assert sorted(one.row for one in [*train, *validation]) == list(range(100))
    first = train[0]
    assert [(one.role, one.content, one.learned) for one in first.messages] == [
        ("user", f"Question {first.row}", False),
        ("assistant", f"Answer {first.row}", True),
    ]
    assert [one.row for one in dataset.conversations("train", limit=3)] == dataset.split.train[:3].tolist()


def test_the_split_on_disk_is_the_one_that_is_used_again(make: Make) -> None:
    folder = make(rows(60))
    dataset = prepared(folder)
    stored = json.loads((folder / "split.json").read_text())
    assert (stored["train"], stored["fingerprint"]) == (len(dataset.split.train), dataset.fingerprint)
    again = prepared(make(rows(60), folder="again")).split
    assert again.codes.tolist() == dataset.split.codes.tolist()
    assert again.fingerprint == dataset.split.fingerprint


def test_a_split_with_row_numbers_in_its_file_is_still_read(make: Make) -> None:
    folder = make(rows(4))
    split = prepared(folder).split
    (folder / "split.npy").unlink()
    old = {"train": [0, 2], "validation": [3], "left_out": [1], "own_file": False, "fingerprint": "abc"}
    (folder / "split.json").write_text(json.dumps(old))
    split = open_dataset(folder).split
    assert (split.train.tolist(), split.validation.tolist(), split.left_out.tolist()) == ([0, 2], [3], [1])
    assert split.fingerprint == "abc"


def test_a_column_of_the_data_may_say_which_rows_are_held_out(make: Make) -> None:
    data = [{**row, "part": "test" if i < 5 else "val" if i < 15 else "train"} for i, row in enumerate(rows(40))]
    settings = DatasetSettings.model_validate(
        {**COLUMNS.model_dump(), "validation_strategy": "column", "split_column": "part"}
    )
    split = prepared(make(data), settings).split
    assert (split.test.tolist(), split.validation.tolist()) == ([*range(5)], [*range(5, 15)])
    with pytest.raises(UserError, match="no column is chosen"):
        prepare(make(data), settings.model_copy(update={"split_column": ""}), leave_out=False)


def words(seed: int) -> list[str]:
    return [f"w{(seed * 7919 + i * 104729) % 1000}" for i in range(40)]


def nearly_the_same(copies: int) -> list[dict[str, Any]]:
    """Groups of rows of which each differs from the others in one word of forty."""
    found = []
    for group in range(60):
        for copy in range(copies):
            text = words(group)
            text[copy * 3] = f"other{group}x{copy}"
            found.append({"q": " ".join(text), "a": f"Answer {group}"})
    return found


def test_rows_that_are_nearly_the_same_are_never_on_both_sides(make: Make) -> None:
    split = prepared(make(nearly_the_same(3))).split
    assert len(split.validation) >= 15
    assert {row // 3 for row in split.train.tolist()}.isdisjoint(row // 3 for row in split.validation.tolist())
    never = DatasetSettings.model_validate({**COLUMNS.model_dump(), "near_duplicates": "never"})
    split = prepared(make(nearly_the_same(3)), never).split
    assert {row // 3 for row in split.train.tolist()} & {row // 3 for row in split.validation.tolist()}


def test_rows_of_one_form_can_still_be_split_and_that_is_said(make: Make) -> None:
    form = words(1)
    data = [{"q": " ".join([*form[:20], f"name{i}", *form[20:]]), "a": "yes"} for i in range(50)]
    folder = make([*data, *rows(10)])
    outcome = prepare(folder, COLUMNS, leave_out=False)
    assert len(outcome.split.validation) >= 10
    assert "50 of 60 rows are nearly the same" in next(
        one.what for one in outcome.problems if one.severity == "warning"
    )


def test_a_recipe_drops_rows_and_edits_text_and_the_file_stays_as_it_was(make: Make) -> None:
    folder = make([*rows(20), {"q": "x", "a": None}, {"q": " y ", "a": " z "}])
    before = (folder / "rows.parquet").read_bytes()
    recipe = Recipe.load(folder)
    recipe.add_step(Step("drop", {}, "no answer", 1, 0.0, np.array([3, 20])))
    recipe.add_step(Step("trim", {"columns": ["q", "a"], "nested": []}, "outer white space", 1, 0.0))
    recipe.save()
    dataset = prepared(folder)
    assert 3 not in dataset.split.train.tolist() + dataset.split.validation.tolist()
    found = {one.row: [message.content for message in one.messages] for one in dataset.conversations("train")}
    found |= {one.row: [message.content for message in one.messages] for one in dataset.conversations("validation")}
    assert found[21] == ["y", "z"] and len(found) == 20
    assert dataset.row(21) == {"q": " y ", "a": " z "}
    assert (folder / "rows.parquet").read_bytes() == before
    with_recipe = dataset.fingerprint
    recipe.undo_last()
    recipe.undo_last()
    recipe.save()
    assert prepared(folder, leave_out=True).fingerprint != with_recipe


def test_held_out_rows_have_the_mixture_of_a_column_or_of_lengths(make: Make) -> None:
    data = [
        {"q": f"Question {i} " + "long " * (i % 10) ** 2, "a": str(i), "kind": "rare" if i % 10 == 0 else "often"}
        for i in range(500)
    ]
    by_kind = {**COLUMNS.model_dump(), "validation_size": 100, "stratify": "column", "stratify_column": "kind"}
    held = prepared(make(data), DatasetSettings.model_validate(by_kind)).split.validation
    assert sum(row % 10 == 0 for row in held.tolist()) == 10
    by_length = {**COLUMNS.model_dump(), "validation_size": 100, "stratify": "length"}
    held = prepared(make(data), DatasetSettings.model_validate(by_length)).split.validation
    assert [sum(row % 10 in kind for row in held.tolist()) for kind in ((0, 1), (4, 5), (8, 9))] == [20, 20, 20]
    many = DatasetSettings.model_validate({**by_kind, "stratify_column": "q"})
    with pytest.raises(UserError, match="more than 100 different values"):
        prepare(make(data), many, leave_out=False)


def test_the_fingerprint_follows_rows_and_settings_and_not_the_file_name(make: Make) -> None:
    def of(data: list[dict[str, Any]], folder: str, **changes: Any) -> str:
        settings = DatasetSettings.model_validate({**COLUMNS.model_dump(), **changes})
        return prepared(make(data, folder=folder), settings).fingerprint

    base = of(rows(30), "one")
    assert base == of(rows(30), "two", train_dataframe="another name.csv")
    assert base != of(rows(31), "three")
    assert base != of([*rows(29), {"q": "Question 29", "a": "Answer 29 "}], "four")
    assert base != of(rows(30), "five", validation_size=0.5)


def test_rows_without_an_answer_need_consent_to_be_left_out(make: Make) -> None:
    folder = make([*rows(20), {"q": "x", "a": None}, {"q": "y", "a": " "}, {"q": "z", "a": None}])
    with pytest.raises(UserError) as caught:
        prepare(folder, COLUMNS, leave_out=False)
    assert caught.value.what == (
        "3 of 23 rows cannot be used: the answer is missing in rows 21, 23; and for another reason."
    ), caught.value.what
    assert caught.value.where == "column “a”, rows 21, 23"
    assert not (folder / "split.json").exists()
    dataset = prepared(folder, leave_out=True)
    assert dataset.split.left_out.tolist() == [20, 21, 22]
    assert dataset.leave_out
    assert len(dataset.split.train) + len(dataset.split.validation) == 20
    assert dataset.row_count == 23


def test_a_preview_lists_what_the_import_would_refuse(make: Make) -> None:
    folder = make([*rows(20), {"q": "x", "a": None}])
    shown = preview(folder, COLUMNS)
    assert (shown.row_count, shown.train_rows, shown.validation_rows, shown.left_out) == (21, 16, 4, 1)
    assert len(shown.conversations) == 5
    assert [(one.severity, one.what, one.rows) for one in shown.problems] == [
        ("leaves out", "the answer is missing", (20,)),
        ("warning", "Only 4 validation rows: scores will be rough (below 50).", ()),
    ]


def test_equal_prompts_are_never_on_both_sides(make: Make) -> None:
    data = [
        {"q": f"Question {index % 40}".upper() if index % 2 else f" question  {index % 40}", "a": str(index)}
        for index in range(400)
    ]
    dataset = prepared(make(data))
    sides = [
        {one.messages[0].content.split()[1] for one in dataset.conversations(part)} for part in ("train", "validation")
    ]
    assert sides[0] | sides[1] == {str(index) for index in range(40)}
    assert not sides[0] & sides[1]


def test_an_own_validation_file_is_held_out_whole_and_overlap_is_said(make: Make) -> None:
    own = [{"q": "Question 3", "a": "x"}, {"q": "New", "a": "y"}]
    folder = make(rows(20), own)
    settings = DatasetSettings.model_validate({**COLUMNS.model_dump(), "validation_strategy": "custom"})
    outcome = prepare(folder, settings, leave_out=False)
    dataset = open_dataset(folder)
    assert len(dataset.split.train) == 20
    assert [one.messages[0].content for one in dataset.conversations("validation")] == ["Question 3", "New"]
    warning = next(one for one in outcome.problems if one.severity == "warning")
    assert (warning.count, warning.rows) == (1, (3,))


def test_an_own_file_that_is_missing_or_lacks_a_column_is_named(make: Make) -> None:
    settings = DatasetSettings.model_validate({**COLUMNS.model_dump(), "validation_strategy": "custom"})
    with pytest.raises(UserError, match="none was imported"):
        prepare(make(rows(20)), settings, leave_out=False)
    with pytest.raises(UserError, match="no column “a”") as caught:
        prepare(make(rows(20), [{"q": "x", "answer": "y"}], folder="lacks"), settings, leave_out=False)
    assert caught.value.where == "validation file lacks-own.jsonl"


def test_a_validation_file_can_be_added_later(make: Make, tmp_path: Path) -> None:
    folder = make(rows(20))
    path = tmp_path / "later.csv"
    path.write_text("q,a\nx,y\n")
    add_validation_file(folder, SourceFile(path, "later.csv"), quiet)
    stored = json.loads((folder / "draft.json").read_text())["settings"]
    assert (stored["validation_strategy"], stored["validation_dataframe"]) == ("custom", "later.csv")
    assert prepared(folder, DatasetSettings.model_validate(stored)).split.validation.tolist() == [0]
    path.write_text("q,a\n")
    with pytest.raises(UserError, match="no rows"):
        add_validation_file(folder, SourceFile(path, "later.csv"), quiet)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"answer_column": None}, "No answer column is chosen."),
        ({"answer_column": "b"}, "The table has no column “b”."),
        ({"prompt_column": ("q", "a")}, "The column “a” is chosen twice."),
        ({"layout": "messages"}, "No messages column is chosen."),
        ({"layout": "messages", "messages_column": "q"}, "None of the 20 rows can be used: the value is text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, Any], what: str, make: Make) -> None:
    changed = {name: ("" if value is None else value) for name, value in changes.items()}
    settings = DatasetSettings.model_validate({**COLUMNS.model_dump(), **changed})
    with pytest.raises(UserError) as caught:
        prepare(make(rows(20)), settings, leave_out=True)
    assert caught.value.what.startswith(what)
    assert caught.value.fix


def test_no_usable_row_and_a_single_one_are_refused(make: Make) -> None:
    with pytest.raises(UserError, match="None of the 2 rows can be used: the answer is missing in rows 1, 2"):
        prepare(make([{"q": "x", "a": None}] * 2), COLUMNS, leave_out=True)
    with pytest.raises(UserError, match="Only 1 row can be used"):
        prepare(make(rows(1), folder="one"), COLUMNS, leave_out=True)


def test_data_sample_takes_a_share_of_the_chosen_parts(make: Make) -> None:
    settings = {**COLUMNS.model_dump(), "validation_size": 0.5, "data_sample": 0.1}
    dataset = prepared(make(rows(400)), DatasetSettings.model_validate({**settings, "data_sample_choice": ("Train",)}))
    assert (len(dataset.split.train), len(dataset.split.validation)) == (20, 200)
    both = DatasetSettings.model_validate({**settings, "data_sample_choice": ("Train", "Validation")})
    assert len(prepared(make(rows(400)), both).split.validation) == 20


def test_rows_come_by_page_and_by_search(make: Make) -> None:
    dataset = prepared(make([*rows(5000), {"q": "Straße NEEDLE", "a": None}, *rows(3)], folder="many"), leave_out=True)
    assert dataset.columns == ("q", "a")
    assert dataset.rows(4999, 2) == [{"q": "Question 4999", "a": "Answer 4999"}, {"q": "Straße NEEDLE", "a": None}]
    assert dataset.rows(0, 10, search="needle") == [{"q": "Straße NEEDLE", "a": None}]
    assert dataset.numbered_rows(1, 1, search="Question 2")[0] == 1112
    assert dataset.row(5000)["q"] == "Straße NEEDLE"
    with pytest.raises(UserError, match=r"There is no row 6000; the data set has 5004 rows\."):
        dataset.row(5999)
