"""The pages of the data sets without a browser: what each step shows, what actions do, and that data stays inert."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.actions.finishing import run_finish
from llm_studio.actions.updating import run_update
from llm_studio.catalog.connectors import CONNECTORS
from llm_studio.data.browse import run_search
from llm_studio.data.jobs import dataset_statistics, import_read
from llm_studio.data.layouts import Layout, all_layouts
from llm_studio.data.merging import run as run_merge
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.starter import BACKBONE
from llm_studio.store import JobRecord, Store
from llm_studio.ui.diff import components
from llm_studio.ui.page import Outcome
from llm_studio.ui.pages import dataset, datasets, import_
from llm_studio.ui.pages.conversation_view import conversation_markup
from tests.support.tab import Tab

HOSTILE = "<img src=x onerror=\"window.hacked=1\"> & 'quotes' `code`"


def rows(count: int = 40) -> list[dict[str, Any]]:
    found = [{"question": f"Question {index}?", "answer": f"Answer {index} {HOSTILE}"} for index in range(count)]
    found[3]["answer"] = ""
    return found


def upload(store: Store, content: str, name: str = "a.jsonl") -> Outcome:
    folder = store.home.wave / "f" / "01234567-89ab-cdef-0123-456789abcdef"
    folder.mkdir(parents=True)
    (folder / name).write_text(content)
    tab = Tab(store, import_.PAGE)
    tab.context.draft["upload"] = [f"/_f/{folder.name}/{name}"]
    outcome = tab.act("upload")
    assert outcome is not None
    return outcome


def run(store: Store, kind: str = "import_read") -> JobRecord:
    """Does what the data job process does with the one waiting job."""
    job = store.jobs.list(kind=kind, active=True)[0]
    work = {
        "import_read": import_read,
        "dataset_statistics": dataset_statistics,
        "import_finish": run_finish,
        "dataset_update": run_update,
        "dataset_search": run_search,
        "import_merge": run_merge,
    }[kind]
    try:
        store.jobs.finish(job.id, "done", result=work(store.home, store, job, lambda share, words: None))
    except UserError as error:
        store.jobs.finish(job.id, "failed", error=error.as_dict())
    return store.jobs.get(job.id)


def drafted(store: Store) -> str:
    upload(store, "".join(json.dumps(row) + "\n" for row in rows()))
    return run(store).id


def imported(store: Store) -> str:
    tab = Tab(store, import_.PAGE, drafted(store), "preview")
    tab.context.draft |= {"name": "Questions", "consent": True}
    tab.act("finish")
    return str((run(store, "import_finish").result or {})["dataset_id"])


def test_an_empty_list_says_what_to_do_and_offers_a_sample(store: Store) -> None:
    tab = Tab(store, datasets.PAGE)
    assert "No data sets yet" in tab.text() and '"#import"' in tab.text()
    outcome = tab.act("sample/orders_to_json")
    assert outcome is not None and outcome.address.startswith("#import/")
    assert run(store).status == "done"


def test_the_wizard_goes_from_upload_to_done_and_each_step_can_be_loaded_again(store: Store) -> None:
    outcome = upload(store, "".join(json.dumps(row) + "\n" for row in rows()))
    job_id = outcome.address.split("/")[1]
    assert outcome.address == f"#import/{job_id}/columns"
    reading = Tab(store, import_.PAGE, job_id, "columns")
    assert "Waiting" in reading.text() and f"cancel_reading/{job_id}" in reading.text()
    run(store)
    columns = Tab(store, import_.PAGE, job_id, "columns")
    assert "familiar names" in columns.text() and "Question 0?" in columns.text()
    assert columns.inputs()["set/answer_column"]["value"] == "answer"
    following = columns.act("to_preview")
    assert following is not None and following.address == f"#import/{job_id}/preview"
    preview = Tab(store, import_.PAGE, job_id, "preview")
    assert "1 row cannot be used: the answer is empty." in preview.text()
    with pytest.raises(UserError, match="1 of 40 rows cannot be used"):
        preview.act("finish")
    preview.context.draft["consent"] = True
    preview.act("consent")
    assert "1 row left out" in Tab(store, import_.PAGE, job_id, "preview").text()
    done = preview.act("finish")
    assert done is not None
    assert done.address == f"#import/{job_id}/finish"
    making = Tab(store, import_.PAGE, job_id, "finish")
    assert "Waiting" in making.text() and "cancel_finishing/" in making.text()
    dataset_id = (run(store, "import_finish").result or {})["dataset_id"]
    for address in ((job_id, "finish"), (job_id, "preview"), (job_id, "done", dataset_id)):
        shown = Tab(store, import_.PAGE, *address).text()
        assert f"#new/{dataset_id}" in shown and "a is imported" in shown


def test_what_goes_wrong_while_the_data_set_is_made_is_said_and_the_choices_stay(store: Store) -> None:
    job_id = drafted(store)
    tab = Tab(store, import_.PAGE, job_id, "preview")
    tab.context.draft |= {"name": "Mine", "consent": True}
    tab.act("finish")
    job = store.jobs.list(kind="import_finish", active=True)[0]
    store.jobs.finish(job.id, "failed", error={"what": "The disk is full.", "where": "", "fix": "Free some space."})
    again = Tab(store, import_.PAGE, job_id, "finish")
    assert "The disk is full." in again.text() and again.inputs()["name"]["value"] == "Mine"
    again.act("finish")
    again.act(f"cancel_finishing/{store.jobs.list(kind='import_finish', active=True)[0].id}")
    assert "name" in Tab(store, import_.PAGE, job_id, "finish").inputs()


def test_a_changed_column_shows_in_the_preview_and_set_back_it_is_as_before(store: Store) -> None:
    tab = Tab(store, import_.PAGE, drafted(store), "columns")
    before = tab.text()
    tab.choose("answer_column", "question")
    held = actions.import_draft(store, tab.context.args[0]).draft
    assert held is not None
    assert (held.settings["answer_column"], tuple(held.settings["prompt_column"])) == ("question", ("answer",))  # type: ignore[arg-type]
    assert tab.text() != before
    tab.choose("answer_column", "answer")
    assert tab.text() == before
    tab.choose("layout", "messages")
    assert tab.inputs()["set/messages_column"]["visible"] and not tab.inputs()["set/answer_column"]["visible"]
    assert "No messages column is chosen" in tab.text()


@pytest.mark.parametrize("layout", all_layouts(), ids=lambda layout: layout.name)
def test_each_layout_shows_the_fields_of_its_own_columns_and_no_others(layout: Layout, store: Store) -> None:
    tab = Tab(store, import_.PAGE, drafted(store), "columns")
    tab.choose("layout", layout.name)
    of_layouts = {name for one in all_layouts() for name in one.reads}
    inputs = tab.inputs()
    shown = {name for name in of_layouts if inputs[f"set/{name}"].get("visible", True)}
    assert shown == set(layout.reads)
    assert inputs["set/group_column"]["visible"]


def test_label_columns_are_chosen_as_a_list_and_leave_the_prompt_to_itself(store: Store) -> None:
    tab = Tab(store, import_.PAGE, drafted(store), "columns")
    tab.choose("layout", "labelled")
    tab.choose("label_column", ["answer"])
    held = actions.import_draft(store, tab.context.args[0]).draft
    assert held is not None and held.dataset_settings().label_column == ("answer",)
    offered = [choice["name"] for choice in tab.inputs()["set/label_column"]["choices"]]
    assert offered == ["answer"]
    assert "Question 0?" in tab.text()


def test_tools_tool_calls_and_rejected_answers_are_shown_and_inert() -> None:
    call = Message("assistant", "", learned=True, tool_calls='[{"function": {"name": "rain"}}]')
    shown = conversation_markup(Conversation(0, (call,), tools=f'["{HOSTILE}"]', rejected=HOSTILE))
    assert "rain" in shown and "Rejected answer, not learned" in shown and "Tools that may be called" in shown
    assert "<img" not in shown and "(empty)" not in shown


def test_a_mistyped_size_is_said_under_the_field_and_holds_the_next_step(store: Store) -> None:
    tab = Tab(store, import_.PAGE, drafted(store), "columns")
    tab.choose("validation_size", "many")
    assert tab.inputs()["set/validation_size"]["value"] == "many"
    assert "'many' is not a size" in str(tab.inputs()["set/validation_size"]["error"])
    with pytest.raises(UserError, match="is not a size"):
        tab.act("to_preview")
    for typed, expected in (("25 %", 0.25), ("0.25", 0.25), ("12 rows", 12.0), ("12", 12.0), ("automatic", 0.0)):
        tab.choose("validation_size", typed)
        held = actions.import_draft(store, tab.context.args[0]).draft
        assert held is not None and held.dataset_settings().validation_size == expected


def test_a_file_that_cannot_be_read_is_explained_where_the_columns_would_be(store: Store) -> None:
    outcome = upload(store, "q,a\n1,2,3\n", "bad.csv")
    run(store)
    shown = Tab(store, import_.PAGE, *outcome.address.split("/")[1:]).text()
    assert "Row 1 has 3 values" in shown and "bad.csv, row 1 (line 2)" in shown and "Choose another file" in shown


def test_an_own_validation_file_can_be_added_and_taken_away(store: Store, tmp_path: Path) -> None:
    tab = Tab(store, import_.PAGE, drafted(store), "columns")
    tab.choose("validation_strategy", "custom")
    assert "none was imported" in tab.text() and tab.inputs()["upload_validation/first"]["visible"]
    path = store.home.uploads / "own.jsonl"
    path.write_text('{"question": "New?", "answer": "Yes."}\n')
    actions.add_validation(store, tab.context.args[0], {"kind": "upload", "path": str(path), "name": "own.jsonl"})
    run(store)
    assert "own.jsonl: 1 row" in tab.text() and "Question 0?" in tab.text()
    assert len(actions.open_imports(store)) == 1
    tab.act("other_validation")
    assert "none was imported" in tab.text()


def test_upload_comes_first_and_every_source_has_an_address(store: Store) -> None:
    first = Tab(store, import_.PAGE)
    assert "upload" in first.inputs() and "sample/orders_to_json" in first.text()
    for kind in ("local", "hub", "https", "s3", "azure", "kaggle"):
        assert f"#import?kind={kind}" in first.text()
    assert Tab(store, import_.PAGE, kind="no such").text() == first.text()
    assert "Allow a folder" in Tab(store, import_.PAGE, kind="local").text()


def test_a_form_keeps_secrets_out_of_the_job_the_draft_and_the_page(store: Store) -> None:
    tab = Tab(store, import_.PAGE, kind="s3")
    typed = {"bucket": "sets", "key": "rows.csv", "region": "eu-central-1"}
    typed |= {"access_key": "AKIA1", "secret_key": "hush1"}
    tab.context.draft |= {f"source/s3/{name}": value for name, value in typed.items()}
    outcome = tab.act("fetch/s3")
    assert outcome is not None and outcome.address.startswith("#import/")
    job = store.jobs.list(kind="import_read", active=True)[0]
    assert job.params["source"] == {"kind": "s3", "bucket": "sets", "key": "rows.csv", "region": "eu-central-1"}
    again = Tab(store, import_.PAGE, kind="s3")
    for shown in (json.dumps(job.params), json.dumps(tab.context.draft), tab.text(), again.text()):
        assert "hush1" not in shown and "AKIA1" not in shown
    assert "s3://sets/rows.csv" in again.text()
    assert again.inputs()["source/s3/secret_key"]["placeholder"] == "saved; type to replace it"
    assert again.inputs()["source/s3/region"]["value"] == "eu-central-1"
    assert again.inputs()["source/s3/secret_key"]["password"]
    again.act("remove_keys/s3")
    assert store.secrets.get("s3_secret_key") is None and "Forget" not in again.text()


def test_a_secret_that_came_with_another_button_is_dropped(store: Store) -> None:
    tab = Tab(store, import_.PAGE, kind="kaggle")
    tab.context.draft |= {"source/kaggle/key": "hush2", "source/kaggle/username": "me"}
    assert "hush2" not in tab.text() and "hush2" not in json.dumps(tab.context.draft)
    assert tab.inputs()["source/kaggle/username"]["value"] == "me"


def test_a_form_that_is_not_filled_in_makes_no_job_and_keeps_what_was_typed(store: Store) -> None:
    tab = Tab(store, import_.PAGE, kind="https")
    tab.context.draft["source/https/url"] = "http://example.org/a.csv"
    with pytest.raises(UserError, match="not an https address"):
        tab.act("fetch/https")
    assert tab.inputs()["source/https/url"]["value"] == "http://example.org/a.csv"
    assert store.jobs.list() == []


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
