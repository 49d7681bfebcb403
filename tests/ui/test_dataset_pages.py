"""The pages of data sets without a browser: what each section shows, what actions do, and that data stays inert."""

import json
import shutil
from pathlib import Path

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.catalog.connectors import CONNECTORS
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.store import Store
from llm_studio.ui.diff import components
from llm_studio.ui.pages import dataset, datasets, import_
from tests.support.importing import drafted, imported, run
from tests.support.tab import Tab


def test_every_field_has_a_tooltip(store: Store) -> None:
    job_id, dataset_id = drafted(store), ""
    shown = [Tab(store, import_.PAGE), Tab(store, import_.PAGE, job_id), Tab(store, import_.PAGE, job_id, "preview")]
    shown += [Tab(store, import_.PAGE, kind=entry.name) for entry in CONNECTORS if entry.fetches]
    store.preferences.set("allowed_folders", [str(store.home.path)])
    shown += [Tab(store, import_.PAGE, kind="local")]
    record = actions.import_dataset(store, {"kind": "starter", "name": "story_questions"})
    dataset_id = record.id
    shown += [Tab(store, dataset.PAGE, dataset_id, "columns")]
    for tab in shown:
        fields = tab.inputs()
        assert fields
        assert [name for name, properties in fields.items() if not properties.get("tooltip")] == []


@pytest.mark.parametrize("section", ["rows", "conversations", "statistics", "columns", "used-by"])
def test_every_section_of_a_data_set_shows_itself_and_keeps_text_inert(section: str, store: Store) -> None:
    dataset_id = imported(store)
    run(store, "dataset_statistics")
    tab = Tab(store, dataset.PAGE, dataset_id, section)
    markup = [
        str(properties.get("content"))
        for dump in tab.dumps()
        for kind, properties in components(dump)
        if kind in ("markup", "text", "message_bar")
    ]
    assert not any("<img" in content for content in markup)
    assert "Questions" in tab.text() and f"#new/{dataset_id}" in tab.text()
    if section == "statistics":
        assert "Conversation length" in tab.text()


def test_rows_come_by_page_are_searched_and_opened(store: Store) -> None:
    tab = Tab(store, dataset.PAGE, imported(store), "rows")
    tab.act("rows", {"value": "question 1"}, "search")
    assert "11 rows with “question 1”" in tab.text()
    assert "Question 2?" not in tab.text() and "Question 19?" in tab.text()
    tab.act("rows", True, "reset")
    assert "Question 2?" in tab.text()
    opened = tab.act("rows", ["3"])
    assert opened is not None and opened.panel is not None
    content = json.dumps([item.dump() for item in opened.panel.items])
    assert opened.panel.title == "Row 4" and "the answer is empty" in content


def test_rows_are_sorted_by_a_column_and_back(store: Store) -> None:
    tab = Tab(store, dataset.PAGE, imported(store), "rows")
    tab.act("rows", {"c0": False}, "sort")
    data = tab.page.load(tab.context, tab.context.args)
    assert [row for row, _ in data.body.rows[:3]] == [9, 8, 7]
    assert "Sorted by question, from the highest." in tab.text()
    tab.act("rows", {"value": "question 1"}, "search")
    data = tab.page.load(tab.context, tab.context.args)
    assert [row for row, _ in data.body.rows] == [1, *range(19, 9, -1)]
    tab.act("unsort")
    assert [row for row, _ in tab.page.load(tab.context, tab.context.args).body.rows] == [1, *range(10, 20)]


def test_a_search_in_many_rows_goes_on_in_a_job_that_can_be_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = imported(store)
    monkeypatch.setattr("llm_studio.data.browse.FIRST_LOOK_SECONDS", -1.0)
    monkeypatch.setattr("llm_studio.data.dataset.BATCH_ROWS", 5)
    tab = Tab(store, dataset.PAGE, dataset_id, "rows")
    tab.act("rows", {"value": "question 1"}, "search")
    assert '"total_rows": 1,' in tab.text()
    job = store.jobs.list(kind="dataset_search", active=True)[0]
    assert f"cancel_job/{job.id}" in tab.text()
    tab.act(f"cancel_job/{job.id}")
    assert "The search was stopped; 1 row with “question 1” among the first ones." in tab.text()
    store.jobs.delete(job.id)
    assert '"total_rows": 1,' in tab.text()
    run(store, "dataset_search")
    assert "11 rows with “question 1”" in tab.text() and '"total_rows": 11,' in tab.text()


def test_the_rows_of_a_part_are_downloaded_with_their_numbers(store: Store) -> None:
    tab = Tab(store, dataset.PAGE, imported(store), "conversations")
    outcome = tab.act("download_part/validation")
    assert outcome is not None and outcome.download is not None
    assert outcome.download.filename == "Questions validation.jsonl"
    found = [json.loads(line) for line in outcome.download.path.read_text().splitlines()]
    assert len(found) == 8
    assert all(one["question"] == f"Question {one['row'] - 1}?" for one in found)


def test_rows_left_out_are_downloaded_with_their_reason(store: Store) -> None:
    tab = Tab(store, dataset.PAGE, imported(store), "columns")
    assert "Download the 1 row left out" in tab.text()
    outcome = tab.act("download_left_out")
    assert outcome is not None and outcome.download is not None
    (line,) = outcome.download.path.read_text().splitlines()
    assert json.loads(line) == {
        "question": "Question 3?",
        "answer": "",
        "row": 4,
        "reason": "answer: the answer is empty",
    }


def test_tokens_are_counted_anew_with_another_backbone(store: Store, tmp_path: Path) -> None:
    dataset_id = imported(store)
    run(store, "dataset_statistics")
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(BACKBONE, folder)
    tab = Tab(store, dataset.PAGE, dataset_id, "statistics")
    tab.context.draft["count_with"] = str(folder)
    with pytest.raises(UserError, match="not in a folder that may be read"):
        tab.act("count_with", str(folder))
    store.preferences.set("allowed_folders", [str(tmp_path / "models")])
    assert str(folder) in tab.text()
    tab.context.draft["count_with"] = str(folder)
    tab.act("count_with", str(folder))
    assert "cancel_job/" in tab.text() or "Waiting" in tab.text()
    run(store, "dataset_statistics")
    assert f"of the text, {folder} tokenizer" in tab.text()


def test_two_data_sets_are_merged_into_an_import(store: Store) -> None:
    first = imported(store)
    with pytest.raises(UserError, match="There is no other data set"):
        Tab(store, datasets.PAGE).act("ask_merge", [first])
    Tab(store, datasets.PAGE).act("duplicate", [first])
    tab = Tab(store, datasets.PAGE)
    opened = tab.act("ask_merge", [first])
    assert opened is not None and opened.panel is not None
    content = json.dumps([item.dump() for item in opened.panel.items])
    assert "Questions 2" in content and tab.context.draft["merge_column/1"] == "answer"
    tab.context.draft["merge_column/0"] = "answer"
    with pytest.raises(UserError, match="Two columns go to “answer”"):
        tab.act(f"merge/{first}")
    tab.context.draft["merge_column/0"] = "question"
    outcome = tab.act(f"merge/{first}")
    assert outcome is not None
    job_id = outcome.address.split("/")[1]
    assert "Two data sets, merged" in Tab(store, import_.PAGE).text()
    run(store, "import_merge")
    columns = Tab(store, import_.PAGE, job_id, "columns").text()
    assert "40 of the 40 rows of Questions 2 stand in Questions too." in columns


def test_columns_and_split_are_changed_and_refused_while_in_use(store: Store) -> None:
    dataset_id = imported(store)
    tab = Tab(store, dataset.PAGE, dataset_id, "columns")
    tab.choose("validation_size", "20 rows")
    assert "19 rows to learn from, 20 held out, 1 left out." in tab.text()
    assert store.datasets.get(dataset_id).validation_rows == 8
    tab.act("save")
    assert "Waiting" in tab.text() and "cancel_job/" in tab.text()
    run(store, "dataset_update")
    assert store.datasets.get(dataset_id).validation_rows == 20
    experiment = store.experiments.create(
        "problem_type: causal_lm\n",
        name="First try",
        dataset_id=dataset_id,
        backbone="starter",
        problem_type="causal_lm",
        device="cpu",
    )
    assert "First try is queued on this data set" in tab.text()
    tab.choose("validation_size", "5 rows")
    with pytest.raises(UserError, match="in use by the experiment First try"):
        tab.act("save")
    assert "First try" in Tab(store, dataset.PAGE, dataset_id, "used-by").text()
    listed = Tab(store, datasets.PAGE)
    assert "1 experiment" in listed.text()
    with pytest.raises(UserError, match="is used by the experiment First try"):
        listed.act("ask_delete", [dataset_id])
    store.experiments.finish(experiment.id, "stopped")


def test_the_menu_renames_and_deletes_after_asking(store: Store) -> None:
    dataset_id = imported(store)
    tab = Tab(store, datasets.PAGE)
    asked = tab.act("ask_rename", [dataset_id])
    assert asked is not None and asked.dialog is not None
    tab.context.draft["new_name"] = "Other"
    tab.act(f"rename/{dataset_id}")
    assert store.datasets.get(dataset_id).name == "Other"
    asked = tab.act("ask_delete", [dataset_id])
    assert asked is not None and asked.dialog is not None and asked.dialog.title == "Delete Other?"
    assert store.datasets.list() != []
    tab.act(f"delete/{dataset_id}")
    assert store.datasets.list() == []


def test_an_unfinished_import_can_be_continued_and_discarded_from_the_list(store: Store) -> None:
    job_id = drafted(store)
    tab = Tab(store, datasets.PAGE)
    assert "Unfinished imports" in tab.text() and f"#import/{job_id}/columns" in tab.text()
    tab.act(f"delete_import/{job_id}")
    assert "Unfinished imports" not in tab.text()
    assert list(store.home.staging.iterdir()) == []


def test_an_unknown_data_set_or_section_is_said_in_words(store: Store) -> None:
    with pytest.raises(UserError, match="There is no data set gone"):
        Tab(store, dataset.PAGE, "gone").dumps()
    with pytest.raises(UserError, match="no section 'x'"):
        Tab(store, dataset.PAGE, imported(store), "x").dumps()
    with pytest.raises(UserError, match="no step 'x'"):
        Tab(store, import_.PAGE, "gone", "x").dumps()
