"""The pages of experiments without a browser: every state, every tab, what actions do, and that data stays inert."""

import json
from pathlib import Path

import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.config import make_config, to_yaml
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.store.rounds import Round
from llm_studio.ui.diff import INPUTS, components
from llm_studio.ui.pages import compare, experiment, experiments
from llm_studio.ui.pages import experiment_words as say
from tests.support.experiments import BEFORE, HOSTILE, add
from tests.support.tab import Tab, shown

STATES = ("queued", "running", "finished", "stopped", "failed")
TABS = ("overview", "samples", "logs", "data", "config", "files")


@pytest.fixture
def dataset(store: Store) -> DatasetRecord:
    found = store.datasets.create(
        name=f"stories {HOSTILE}"[:80], row_count=100, train_rows=80, validation_rows=20, fingerprint="f1",
        settings={"layout": "instruction", "prompt_column": ["question"], "answer_column": HOSTILE},
        source="starter", size_bytes=1,
    )  # fmt: skip
    store.home.dataset(found.id).mkdir()
    return found


def test_an_empty_list_says_what_to_do_first(store: Store, dataset: DatasetRecord) -> None:
    assert "#new" in Tab(store, experiments.PAGE).text()
    store.datasets.delete(dataset.id)
    assert "#import" in Tab(store, experiments.PAGE).text()


def test_the_list_shows_every_state_with_progress_scores_cause_and_fix(store: Store, dataset: DatasetRecord) -> None:
    for status in STATES:
        add(store, dataset, f"one {status}", status)
    text = Tab(store, experiments.PAGE).text()
    for words in (
        "Next in the queue", "Learning: step 60", "about 3 min left", "Stopped at 42", "Out of memory", "Lower the",
        "82\\\\.4", "untuned 3\\\\.1", "last 80\\\\.0", "55 %", "All 5",
    ):  # fmt: skip
        assert words in text, words
    only = Tab(store, experiments.PAGE, status="failed").text()
    assert "one failed" in only and "one running" not in only


def test_two_chosen_experiments_can_be_compared_and_one_cannot(store: Store, dataset: DatasetRecord) -> None:
    first, second = add(store, dataset, "first"), add(store, dataset, "second")
    tab = Tab(store, experiments.PAGE)
    tab.context.draft["experiments"] = [first.id]
    with pytest.raises(UserError, match="Two experiments"):
        tab.act("compare")
    tab.context.draft["experiments"] = [first.id, second.id]
    outcome = tab.act("compare")
    assert outcome is not None and outcome.address == f"#compare/{first.id},{second.id}"
    assert "2 experiments chosen" in tab.text()


def test_deleting_several_asks_once_says_what_goes_and_refuses_a_running_one(
    store: Store, dataset: DatasetRecord
) -> None:
    ended, running = add(store, dataset, "ended"), add(store, dataset, "live", "running")
    store.chats.create(ended.id)
    tab = Tab(store, experiments.PAGE)
    with pytest.raises(UserError, match="live cannot be deleted while running"):
        tab.act("ask_delete", value=running.id)
    tab.context.draft["experiments"] = [ended.id]
    asked = shown(tab.act("delete_chosen"))
    assert "2 checkpoints, 2 sets of predictions, 1 chat" in asked and "cannot be undone" in asked
    assert store.experiments.find(ended.id) is not None
    tab.act(f"delete_now/{ended.id}")
    assert store.experiments.find(ended.id) is None and not store.home.experiment(ended.id).exists()
    assert tab.context.draft["experiments"] == []


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_of_every_state_is_shown_with_inert_data(
    store: Store, dataset: DatasetRecord, status: str, tab: str
) -> None:
    record = add(store, dataset, f"named {HOSTILE}"[:80], status)
    one = Tab(store, experiment.PAGE, record.id, tab)
    for dump in one.dumps():
        for kind, properties in components(dump):
            if kind == "markup":
                assert "<img" not in properties["content"]
            if kind in INPUTS and kind != "table":
                assert properties.get("tooltip"), properties.get("name")


@pytest.mark.parametrize(
    ("status", "button"),
    [
        ("queued", "stop/"),
        ("running", "stop/"),
        ("finished", "#chat/"),
        ("stopped", "continue/"),
        ("failed", "restart/"),
    ],
)
def test_each_state_has_one_primary_action(store: Store, dataset: DatasetRecord, status: str, button: str) -> None:
    record = add(store, dataset, "one", status)
    header = Tab(store, experiment.PAGE, record.id).dumps()[0]
    primary = [properties["name"] for kind, properties in components(header) if properties.get("primary")]
    assert primary == [f"{button}{record.id}"]


def test_the_overview_says_what_tuning_changed(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one")
    text = Tab(store, experiment.PAGE, record.id).text()
    assert "BLEU 3.1 → 82.4, exact match 0 % → 55 %, perplexity 33.1 → 2.200 on 100 held-out rows." in text
    assert "12,473 tok/s" in text and "Best" in text and "step 40" in text


def test_the_overview_says_how_many_rows_were_answered_when_not_all_were(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one")
    for generated, said in ((50, "100 held-out rows, of which 50 were answered"), (100, "100 held-out rows.")):
        scores = {moment: one | {"rows": 100, "generated_rows": generated} for moment, one in record.scores.items()}
        store.experiments.update(record.id, scores=scores)
        assert said in Tab(store, experiment.PAGE, record.id).text()


def test_the_overview_tells_the_forecast_that_was_made_as_the_experiment_began(
    store: Store, dataset: DatasetRecord
) -> None:
    record = add(store, dataset, "one", "running")
    assert "Forecast" not in Tab(store, experiment.PAGE, record.id).text()
    charts = ChartsDb(store.home.experiment(record.id))
    charts.append("forecast", {"seconds": 170.0, "memory_bytes": 1.4e9, "text": "Fits."})
    charts.close()
    text = Tab(store, experiment.PAGE, record.id).text()
    assert "Forecast" in text and "about 3 min, 1.4" in text


def test_a_queued_experiment_says_its_place_and_what_will_come(store: Store, dataset: DatasetRecord) -> None:
    add(store, dataset, "first", "queued")
    second = add(store, dataset, "second", "queued")
    text = Tab(store, experiment.PAGE, second.id).text()
    assert "2nd in the queue" in text and "Scores appear here once it runs" in text


def test_stopping_says_that_a_checkpoint_is_saved(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one", "running")
    tab = Tab(store, experiment.PAGE, record.id)
    outcome = tab.act(f"stop/{record.id}")
    assert outcome is not None and "saves a checkpoint" in outcome.message
    assert "Stopping: saves a checkpoint" in tab.text()


def test_samples_are_paged_sorted_filtered_and_read_whole(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one")
    tab = Tab(store, experiment.PAGE, record.id, "samples")
    assert '"40"' in tab.text() or "All 40" in tab.text()
    tab.act("samples", {"offset": 30}, "page_change")
    assert tab.context.state["offset"] == 30
    tab.act("samples", {"bleu": False}, "sort")
    assert (tab.context.state["order"], tab.context.state["descending"], tab.context.state["offset"]) == (
        "bleu",
        True,
        0,
    )
    whole = shown(tab.act("samples", ["7"]))
    assert "7 &lt;img" in whole and "<img" not in whole and "nothing" in whole
    wrong = Tab(store, experiment.PAGE, record.id, "samples", only="wrong")
    page = wrong.page.load(wrong.context, wrong.context.args).body.page
    assert (page.total, page.right) == (31, 9)


def test_the_log_shows_its_end_and_hands_out_the_whole(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one")
    path = store.home.experiment(record.id) / "log.txt"
    path.write_text("".join(f"line {number}\n" for number in range(20_000)) + " 10%\r 50%\r100%\n")
    tab = Tab(store, experiment.PAGE, record.id, "logs")
    text = tab.text()
    assert "line 19999" in text and "line 100\\n" not in text and "100%" in text and " 50%" not in text
    outcome = tab.act(f"download_log/{record.id}")
    assert outcome is not None and outcome.download is not None and outcome.download.path == path


def test_the_config_shows_first_what_was_changed(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one", **{"training.lora_r": 32})
    text = Tab(store, experiment.PAGE, record.id, "config").text()
    assert "1 of " in text and "LoRA rank" in text and "read-only" in text
    store.datasets.update(dataset.id, fingerprint="f2")
    assert "were changed after this experiment" in Tab(store, experiment.PAGE, record.id, "config").text()
    store.datasets.delete(dataset.id)
    assert "was deleted" in Tab(store, experiment.PAGE, record.id, "config").text()


def test_an_export_is_asked_for_followed_and_handed_out(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "one")
    tab = Tab(store, experiment.PAGE, record.id, "files")
    with pytest.raises(UserError, match="not there"):
        tab.act("download_adapter")
    tab.act("export/adapter")
    job = store.jobs.list(kind="export", subject=record.id)[0]
    store.jobs.claim(job.id)
    store.jobs.update(job.id, progress=0.5, message="Reading the weights")
    assert "Reading the weights" in tab.text() and f"cancel_export/{job.id}" in tab.text()
    path = store.home.experiment(record.id) / "export" / "adapter.zip"
    path.parent.mkdir()
    path.write_bytes(b"zip")
    result = {"path": str(path), "size_bytes": 3, "equality": {"sentence": "The largest difference is 0."}}
    store.jobs.finish(job.id, "done", result)
    assert "Download 3 B" in tab.text() and "The largest difference is 0." in tab.text()
    outcome = tab.act("download_adapter")
    assert outcome is not None and outcome.download is not None and outcome.download.filename == "one adapter.zip"


def test_wrong_addresses_say_what_is_wrong(store: Store, dataset: DatasetRecord) -> None:
    for args in ((), ("nothing",), (add(store, dataset, "one").id, "pictures")):
        with pytest.raises(UserError):
            Tab(store, experiment.PAGE, *args).dumps()


def test_compare_overlays_charts_and_shows_what_differs(store: Store, dataset: DatasetRecord) -> None:
    first = add(store, dataset, f"first {HOSTILE}"[:80])
    second = add(store, dataset, "second", **{"training.lora_r": 32})
    tab = Tab(store, compare.PAGE, f"{first.id},{second.id}")
    markup = [more["content"] for dump in tab.dumps() for kind, more in components(dump) if kind == "markup"]
    assert not any("<img" in content for content in markup)
    text = tab.text()
    assert "LoRA rank" in text and "rows won" in text and "40 equal" in text and "chart_loss" in text
    for args in ((), (first.id,), (f"{first.id},gone",)):
        assert "Choose two or more" in Tab(store, compare.PAGE, *args).text()


def test_picking_other_experiments_is_another_address(store: Store, dataset: DatasetRecord) -> None:
    first, second = add(store, dataset, "first"), add(store, dataset, "second")
    tab = Tab(store, compare.PAGE)
    tab.context.draft["picked"] = [second.id, first.id]
    outcome = tab.act("picked")
    assert outcome is not None and outcome.address == f"#compare/{second.id},{first.id}"


def test_the_data_tab_shows_learned_and_held_out_rows_and_marks_only_the_first(store: Store, tmp_path: Path) -> None:
    rows = [{"question": f"What is {number}?", "answer": f"It is {number}."} for number in range(60)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    imported = import_dataset(store, {"kind": "local", "path": str(path)})
    record = add(store, imported, "one")
    tab = Tab(store, experiment.PAGE, record.id, "data")
    names = ("header", "tabs", "head", "learned", "held_out")
    cards = dict(zip(names, tab.dumps(), strict=True))
    assert "ls-learned" in json.dumps(cards["learned"]) and f"{imported.train_rows} rows" in json.dumps(
        cards["learned"]
    )
    assert "ls-learned" not in json.dumps(cards["held_out"]) and "Row " in json.dumps(cards["held_out"])


def test_more_epochs_ask_how_many_and_say_what_the_learning_rate_does(store: Store, dataset: DatasetRecord) -> None:
    record = add(store, dataset, "first", **{"training.epochs": 2})
    tab = Tab(store, experiment.PAGE, record.id)
    assert f"ask_more/{record.id}" in tab.text()
    asked = shown(tab.act(f"ask_more/{record.id}"))
    for words in ("It has learned for 2 epochs, 60 steps", "planned anew over the added epochs", "starts anew"):
        assert words in asked, words
    tab.context.draft["more_epochs"] = "x"
    with pytest.raises(UserError, match="x is not a number of epochs"):
        tab.act(f"more/{record.id}")
    tab.context.draft["more_epochs"] = "3"
    outcome = tab.act(f"more/{record.id}")
    assert outcome is not None and "in the queue for 3 epochs more" in outcome.message
    assert store.experiments.get(record.id).status == "queued"
    assert f"ask_more/{record.id}" not in tab.text() and "2 + 3" in tab.text()
    with pytest.raises(UserError, match="waiting already"):
        tab.act(f"ask_more/{record.id}")


def test_epochs_are_counted_as_far_as_each_round_came() -> None:
    assert say.epochs([Round(24, 2.0, 1), Round(30, 2.5, 3)]) == "2 + 0.5 + 3"


def test_an_experiment_says_whose_weights_it_started_from(store: Store, dataset: DatasetRecord) -> None:
    first = add(store, dataset, f"first {HOSTILE}"[:80])
    config = make_config({"experiment_name": "second", "dataset_id": dataset.id})
    second = store.experiments.create(
        to_yaml(config), name="second", dataset_id=dataset.id, backbone="starter", problem_type="causal_lm",
        device="cpu", continued_from=first.id, continued_what="adapter", continued_which="best",
    )  # fmt: skip
    text = Tab(store, experiment.PAGE, second.id).text()
    assert "first of the adapter of first" in text and "Starts from" in text and "(best checkpoint)" in text
    assert "<img" not in text
    store.experiments.update(second.id, scores={"before": BEFORE})
    store.experiments.delete(first.id)
    text = Tab(store, experiment.PAGE, second.id).text()
    assert "the scores of the adapter of an experiment that was deleted (best checkpoint)" in text
