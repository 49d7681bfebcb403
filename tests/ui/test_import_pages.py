"""The import wizard without a browser: sources, columns, preview, what goes wrong; and that data stays inert."""

import json
from pathlib import Path

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.data.layouts import Layout, all_layouts
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import UserError
from llm_studio.store import Store
from llm_studio.ui.pages import datasets, import_
from llm_studio.ui.pages.conversation_view import conversation_markup
from tests.support.importing import HOSTILE, drafted, rows, run, upload
from tests.support.tab import Tab


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
    assert (held.settings["answer_column"], tuple(held.settings["prompt_column"])) == ("question", ("answer",))
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
