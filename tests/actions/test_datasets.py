"""Importing, changing and deleting data sets: what the page and the command line both do."""

from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions import datasets as actions
from llm_studio.actions.finishing import run_finish
from llm_studio.actions.updating import run_update
from llm_studio.config import DatasetSettings
from llm_studio.data import open_dataset
from llm_studio.data.jobs import dataset_statistics, import_read
from llm_studio.data.staging import staging_folder
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import DatasetRecord, Store
from tests.support.data_jobs import draft_of, file_of, finish, imported, nothing_is_left, quiet, run, upload


def experiment_on(store: Store, record: DatasetRecord) -> str:
    return store.experiments.create(
        "problem_type: causal_lm\n",
        name="First try",
        dataset_id=record.id,
        backbone="starter",
        problem_type="causal_lm",
        device="cpu",
    ).id


def test_an_import_goes_from_upload_to_data_set(store: Store) -> None:
    job = actions.start_import(store, upload(store))
    assert not actions.import_draft(store, job.id).ready
    run(store, job)
    held = actions.import_draft(store, job.id)
    assert held.ready and held.draft is not None and held.reading is not None
    assert (held.reading.file, held.reading.row_count) == ("a.jsonl", 40)
    assert "familiar names" in held.draft.guess.reason
    settings = held.draft.dataset_settings()
    shown = actions.preview(store, job.id, settings)
    assert (shown.train_rows, shown.validation_rows) == (32, 8)
    record = finish(store, job.id, " Questions ", settings)
    assert (record.name, record.row_count, record.train_rows, record.validation_rows) == ("Questions", 40, 32, 8)
    dataset = open_dataset(store.home.dataset(record.id))
    assert dataset.fingerprint == record.fingerprint
    assert len(dataset.conversations("train")) == 32
    assert list(store.home.staging.iterdir()) == []
    assert list(store.home.uploads.iterdir()) == []
    assert [one.subject for one in store.jobs.list(kind="dataset_statistics")] == [record.id]


def test_two_imports_at_once_do_not_meet(store: Store) -> None:
    first, second = draft_of(store, 30, "one.jsonl"), draft_of(store, 50, "two.jsonl")
    actions.change_draft(store, first, settings={"validation_size": 0.5}, name="First")
    assert {job.id for job in actions.open_imports(store)} == {first, second}
    drafts = [actions.import_draft(store, job_id) for job_id in (first, second)]
    assert [one.reading.row_count for one in drafts if one.reading] == [30, 50]
    assert [one.draft.name for one in drafts if one.draft] == ["First", "two"]
    actions.cancel_import(store, first)
    assert [job.id for job in actions.open_imports(store)] == [second]
    assert staging_folder(store.home, second).is_dir()
    with pytest.raises(UserError, match="This import is over"):
        actions.import_draft(store, first)


def test_a_file_that_cannot_be_read_leaves_nothing_behind(store: Store) -> None:
    path = store.home.uploads / "bad.csv"
    path.write_text("q,a\n1,2,3\n")
    job = actions.start_import(store, {"kind": "upload", "path": str(path), "name": "bad.csv"})
    run(store, job)
    with pytest.raises(UserError, match="Row 1 has 3 values") as caught:
        actions.import_draft(store, job.id)
    assert caught.value.where.startswith("bad.csv, row 1")
    assert nothing_is_left(store)


def test_cancelling_while_reading_leaves_nothing_behind(store: Store) -> None:
    job = actions.start_import(store, upload(store, rows=10))

    def report(share: float | None, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        import_read(store.home, store, job, report)
    assert nothing_is_left(store)


def test_cancelling_before_reading_began_removes_the_upload(store: Store) -> None:
    job = actions.start_import(store, upload(store))
    actions.cancel_import(store, job.id)
    assert store.jobs.get(job.id).status == "cancelled"
    assert nothing_is_left(store)


def test_a_failing_finish_leaves_the_draft_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(store, "Taken")
    job_id = draft_of(store)
    draft = actions.import_draft(store, job_id).draft
    assert draft is not None
    with pytest.raises(UserError, match="There is a data set called taken already"):
        finish(store, job_id, "taken", draft.dataset_settings())
    with pytest.raises(UserError, match="no column “nothing”"):
        changed = DatasetSettings.model_validate({**draft.settings, "answer_column": "nothing"})
        finish(store, job_id, "Other", changed)

    def full(**values: Any) -> DatasetRecord:
        raise OSError("disk full")

    monkeypatch.setattr(store.datasets, "create", full)
    with pytest.raises(OSError, match="disk full"):
        finish(store, job_id, "Other", draft.dataset_settings())
    monkeypatch.undo()
    assert len(list(store.home.datasets.iterdir())) == 1
    assert finish(store, job_id, "Other", draft.dataset_settings()).name == "Other"


def test_making_a_data_set_goes_on_after_an_end_at_any_point(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = draft_of(store)
    draft = actions.import_draft(store, job_id).draft
    assert draft is not None
    job = actions.start_finish(store, job_id, name="Questions", settings=draft.dataset_settings())
    rename = Path.rename

    def killed(path: Path, target: Path) -> None:
        rename(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        run_finish(store.home, store, job, quiet)
    monkeypatch.undo()
    assert store.datasets.list() == []
    made = run_finish(store.home, store, job, quiet)
    assert run_finish(store.home, store, job, quiet) == made
    assert [(one.id, one.name) for one in store.datasets.list()] == [(made["dataset_id"], "Questions")]


def test_cancelling_while_the_data_set_is_made_keeps_the_draft(store: Store) -> None:
    job_id = draft_of(store)
    draft = actions.import_draft(store, job_id).draft
    assert draft is not None
    job = actions.start_finish(store, job_id, name="Questions", settings=draft.dataset_settings())

    def report(share: float | None, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run_finish(store.home, store, job, report)
    assert store.datasets.list() == [] and actions.import_draft(store, job_id).ready


def test_a_job_changes_columns_and_split(store: Store) -> None:
    record = imported(store)
    job = actions.start_update(store, record.id, {"validation_size": 10.0})
    with pytest.raises(UserError, match="being changed already"):
        actions.start_update(store, record.id, {"validation_size": 5.0})
    assert run_update(store.home, store, job, quiet) == {"train_rows": 30, "validation_rows": 10}


def test_an_upload_of_a_wrong_kind_is_refused_at_once_and_removed(store: Store) -> None:
    path = store.home.uploads / "x.docx"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"ends in \.docx"):
        actions.start_import(store, {"kind": "upload", "path": str(path), "name": "x.docx"})
    assert list(store.home.uploads.iterdir()) == [] and store.jobs.list() == []


def test_only_allowed_folders_of_the_server_are_read_also_through_links(store: Store, tmp_path: Path) -> None:
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    secret.mkdir()
    file_of(allowed / "good.jsonl")
    hidden = file_of(secret / "hidden.jsonl")
    (allowed / "link.jsonl").symlink_to(hidden)
    (allowed / "up").symlink_to(secret)
    good: dict[str, object] = {"kind": "local", "path": str(allowed / "good.jsonl")}
    with pytest.raises(UserError, match="not in a folder that may be read") as caught:
        actions.start_import(store, good)
    assert caught.value.fix == "Allow its folder under Settings first."
    store.preferences.set("allowed_folders", [str(allowed)])
    for path in (hidden, allowed / "link.jsonl", allowed / "up" / "hidden.jsonl", allowed / ".." / "secret" / "x.csv"):
        with pytest.raises(UserError, match="not in a folder that may be read"):
            actions.start_import(store, {"kind": "local", "path": str(path)})
    job = actions.start_import(store, good)
    run(store, job)
    assert actions.import_draft(store, job.id).ready
    assert (allowed / "good.jsonl").is_file()


def test_an_upload_outside_the_uploads_is_refused(store: Store, tmp_path: Path) -> None:
    outside = file_of(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="no longer there"):
        actions.start_import(store, {"kind": "upload", "path": str(outside), "name": "a.jsonl"})
    assert outside.is_file()


def test_every_sample_imports_with_nothing_to_correct(store: Store) -> None:
    from llm_studio.starter import SAMPLES

    for sample in SAMPLES:
        record = actions.import_dataset(store, {"kind": "starter", "name": sample.name})
        assert tuple(record.settings["prompt_column"]) == tuple(sample.prompt_columns)
        assert (record.settings["layout"] == "instruction") == bool(sample.answer_column)
        assert (record.name, record.validation_rows) == (sample.title, 120)


def test_a_data_set_in_use_cannot_be_deleted_or_changed(store: Store) -> None:
    record = imported(store)
    experiment = experiment_on(store, record)
    with pytest.raises(UserError, match="Questions is used by the experiment First try, so it cannot be deleted"):
        actions.delete_dataset(store, record.id)
    with pytest.raises(UserError, match="in use by the experiment First try"):
        actions.update_settings(store, record.id, {"validation_size": 0.5})
    assert store.home.dataset(record.id).is_dir()
    store.experiments.finish(experiment, "finished")
    assert actions.update_settings(store, record.id, {"validation_size": 0.5}).validation_rows == 20
    store.experiments.delete(experiment)
    actions.delete_dataset(store, record.id)
    assert not store.home.dataset(record.id).exists() and store.datasets.list() == []


def test_new_settings_make_a_new_split_and_fingerprint_or_change_nothing(store: Store) -> None:
    record = imported(store)
    changed = actions.update_settings(store, record.id, {"validation_size": 10.0})
    assert (changed.validation_rows, changed.train_rows) == (10, 30)
    assert changed.fingerprint != record.fingerprint
    assert open_dataset(store.home.dataset(record.id)).fingerprint == changed.fingerprint
    with pytest.raises(UserError, match="no column “nothing”"):
        actions.update_settings(store, record.id, {"answer_column": "nothing"})
    assert store.datasets.get(record.id) == changed
    assert actions.update_settings(store, record.id, {"validation_size": 0.0}).fingerprint == record.fingerprint


def test_renaming_refuses_names_that_are_taken_or_empty(store: Store) -> None:
    one, _ = imported(store, "One"), imported(store, "Two")
    with pytest.raises(UserError, match="called Two already"):
        actions.rename_dataset(store, one.id, "Two")
    with pytest.raises(UserError, match="The name has 0 characters"):
        actions.rename_dataset(store, one.id, "  ")
    actions.rename_dataset(store, one.id, "one")
    assert actions.show(store, one.id).record.name == "one"


def test_statistics_are_counted_by_their_job(store: Store, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    record = imported(store)
    job = store.jobs.create(
        "dataset_statistics",
        {"dataset_id": record.id, "tokenizer": str(tmp_path / "tokenizer.json"), "tokenizer_name": "words"},
        subject=record.id,
    )
    assert dataset_statistics(store.home, store, job, quiet) == {"conversations": 40}
    found = actions.show(store, record.id).statistics
    assert found is not None
    assert (found.conversation_tokens.total, found.tokenizer) == (160, "words")
