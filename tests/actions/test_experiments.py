"""Verbs on experiments: what is refused before a start, what goes with a deletion, what differs between two."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from llm_studio.actions import experiments as actions
from llm_studio.actions.comparison import compare, interval
from llm_studio.actions.devices import choose_device
from llm_studio.actions.predictions import one_prediction, predictions_page
from llm_studio.config import ExperimentConfig, make_config
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
def dataset(store: Store) -> DatasetRecord:
    found = store.datasets.create(
        name="stories", row_count=100, train_rows=80, validation_rows=60, settings={}, fingerprint="f1",
        source="starter", size_bytes=1,
    )  # fmt: skip
    store.home.dataset(found.id).mkdir()
    return found


def config(dataset: DatasetRecord, name: str = "first", **changes: object) -> ExperimentConfig:
    values = {path.replace("__", "."): value for path, value in changes.items()}
    return make_config({"experiment_name": name, "dataset_id": dataset.id, "environment.gpus": "cpu", **values})


def predict(store: Store, record: ExperimentRecord, step: int, bleus: list[float]) -> None:
    folder = store.home.experiment(record.id) / "predictions"
    folder.mkdir(exist_ok=True)
    rows = [
        {"row": row, "prompt": f"Question {row}", "target": f"Answer {row}", "output": f"Said {row} at {step}",
         "nll_nats": 2.0 * row, "answer_tokens": 4, "bleu": bleu, "exact_match": bleu == 100}
        for row, bleu in enumerate(bleus)
    ]  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(rows), folder / f"{step:08d}.parquet")


def test_start_writes_the_config_and_queues(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset, training__lora_r=8))
    assert (record.status, record.device, record.backbone, record.dataset_name) == (
        "queued",
        "cpu",
        "starter",
        "stories",
    )
    assert actions.config_of(store, record.id).training.lora_r == 8


def test_start_refuses_what_cannot_work_and_leaves_nothing(store: Store, dataset: DatasetRecord) -> None:
    wrong = [
        (make_config({"environment.gpus": "cpu"}), "No data set is chosen"),
        (make_config({"dataset_id": "gone"}), "data set of this config is not there"),
        (config(dataset, llm_backbone="/no/such/model"), "There is no folder"),
        (config(dataset, environment__gpus="cuda:7"), "no device cuda:7"),
        (config(dataset, architecture__backbone_dtype="int4", training__lora=False), "only be tuned with LoRA"),
    ]
    for one, words in wrong:
        with pytest.raises(UserError, match=words):
            actions.start_experiment(store, one)
    assert store.experiments.list() == [] and list(store.home.experiments.iterdir()) == []


def test_start_says_all_wrong_settings_at_once(store: Store, dataset: DatasetRecord) -> None:
    both = config(
        dataset, architecture__backbone_dtype="int4", training__lora=False,
        prediction__do_sample=True, prediction__temperature=0.0,
    )  # fmt: skip
    with pytest.raises(UserError) as caught:
        actions.start_experiment(store, both)
    assert "LoRA" in caught.value.what and "temperature 0" in caught.value.what
    assert caught.value.where == "training.lora, prediction.temperature"


def test_start_refuses_a_disk_that_is_too_full(store: Store) -> None:
    with pytest.raises(UserError, match="GB free; this experiment needs about"):
        actions.check_disk(store.home.path, 10**18)


def test_a_data_set_without_its_files_is_noticed(store: Store, dataset: DatasetRecord) -> None:
    shutil.rmtree(store.home.dataset(dataset.id))
    with pytest.raises(UserError, match="files of the data set stories are gone"):
        actions.start_experiment(store, config(dataset))


def test_names_are_unique_and_can_change_while_it_runs(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    with pytest.raises(UserError, match="called first already"):
        actions.start_experiment(store, config(dataset))
    store.experiments.claim(record.id)
    assert actions.rename_experiment(store, record.id, "../<b>second</b>").name == "../<b>second</b>"
    assert store.home.experiment(record.id).is_dir()
    assert actions.new_from(store, record.id).experiment_name == "../<b>second</b> 2"


def test_only_a_stopped_or_failed_one_with_a_checkpoint_goes_on(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    with pytest.raises(UserError, match="waiting already"):
        actions.continue_experiment(store, record.id)
    actions.stop_experiment(store, record.id)
    with pytest.raises(UserError, match="no checkpoint"):
        actions.continue_experiment(store, record.id)
    (store.home.experiment(record.id) / "checkpoints" / "resume").mkdir(parents=True)
    later = actions.start_experiment(store, config(dataset, "later"))
    actions.continue_experiment(store, record.id)
    assert [one.id for one in store.experiments.list("queued")] == [later.id, record.id]


def test_restart_begins_anew(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    with pytest.raises(UserError, match="is queued"):
        actions.restart_experiment(store, record.id)
    store.experiments.claim(record.id)
    store.experiments.update(record.id, progress=0.5, scores={"last": {"bleu": 3.0}})
    store.experiments.finish(record.id, "failed", {"what": "x"})
    folder = store.home.experiment(record.id)
    (folder / "checkpoints" / "last").mkdir(parents=True)
    found = actions.restart_experiment(store, record.id)
    assert (found.status, found.scores, found.progress, found.error) == ("queued", {}, 0.0, None)
    assert not (folder / "checkpoints").exists() and (folder / "config.yaml").exists()


def test_deleting_is_refused_while_it_runs_and_then_takes_everything(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    folder = store.home.experiment(record.id)
    charts = ChartsDb(folder)
    charts.append("evaluation", {"step": 1})
    charts.close()
    predict(store, record, 0, [1.0])
    (folder / "checkpoints" / "best").mkdir(parents=True)
    store.chats.create(record.id, "Hello")
    store.experiments.claim(record.id)
    with pytest.raises(UserError, match="is running"):
        actions.delete_experiment(store, record.id)
    store.experiments.finish(record.id, "stopped")
    goes = actions.leavings(store, record.id)
    assert (goes.checkpoints, goes.evaluations, goes.chats) == (1, 1, 1) and goes.size_bytes > 1000
    actions.delete_experiment(store, record.id)
    assert not folder.exists() and store.chats.list(record.id) == [] and store.experiments.list() == []


def test_deleting_waits_for_an_export(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    actions.stop_experiment(store, record.id)
    store.jobs.create("export", {}, subject=record.id)
    with pytest.raises(UserError, match="export of it is being made"):
        actions.delete_experiment(store, record.id)


def test_predictions_are_paged_sorted_and_filtered_on_the_server(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    folder = store.home.experiment(record.id)
    assert predictions_page(folder).steps == ()
    predict(store, record, 0, [0.0] * 60)
    predict(store, record, 30, [float(100 if row % 3 == 0 else row) for row in range(60)])
    page = predictions_page(folder, offset=50, limit=20)
    assert (page.total, len(page.pairs), page.right, page.wrong, page.step, page.steps) == (60, 10, 20, 40, 30, (0, 30))
    worst = predictions_page(folder, order="bleu", limit=2)
    assert [pair.now.row for pair in worst.pairs] == [1, 2]
    assert worst.pairs[0].before is not None and worst.pairs[0].gain == 1.0
    assert predictions_page(folder, only="right").total == 20
    assert [pair.now.row for pair in predictions_page(folder, search="answer 59").pairs] == [59]
    found = one_prediction(folder, 4)
    assert found is not None and found.now.nats_per_token == 2.0 and found.now.output == "Said 4 at 30"


def test_a_row_without_a_generated_answer_is_neither_right_nor_wrong(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    folder = store.home.experiment(record.id) / "predictions"
    folder.mkdir()
    rows = [{"row": row, "prompt": "", "target": "", "output": "", "exact_match": known} for row, known in
            enumerate([True, False, None])]  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(rows), folder / "00000005.parquet")
    page = predictions_page(store.home.experiment(record.id))
    assert (page.total, page.right, page.wrong) == (3, 1, 1)
    assert predictions_page(store.home.experiment(record.id), only="wrong").total == 1


def test_rows_without_a_score_come_last_in_either_order(store: Store, dataset: DatasetRecord) -> None:
    record = actions.start_experiment(store, config(dataset))
    predict(store, record, 5, [50.0, None, 10.0])  # type: ignore[list-item]
    folder = store.home.experiment(record.id)
    for descending, order in ((False, [2, 0, 1]), (True, [0, 2, 1])):
        page = predictions_page(folder, order="bleu", descending=descending)
        assert [pair.now.row for pair in page.pairs] == order


def test_compare_shows_what_differs_and_who_wins(store: Store, dataset: DatasetRecord) -> None:
    first = actions.start_experiment(store, config(dataset, "first"))
    second = actions.start_experiment(store, config(dataset, "second", training__lora_r=64))
    for record, bleu, perplexity in ((first, 40.0, 2.0), (second, 60.0, 3.0)):
        store.experiments.update(record.id, scores={"last": {"bleu": bleu, "perplexity": perplexity, "step": 30}})
        predict(store, record, 30, [bleu + row % 3 for row in range(40)])
    found = compare(store, [first.id, second.id])
    assert [row.path for row in found.settings if row.differs] == ["training.lora_r"]
    best = {row.metric: row.best for row in found.scores}
    assert best == {"perplexity": (0,), "bleu": (1,)}
    duel = found.duels[0]
    assert (duel.rows, duel.won, duel.lost, duel.tied, duel.verdict) == (40, 40, 0, 0, "better")
    assert duel.mean == 20.0 and duel.low == duel.high == 20.0


def test_experiments_on_different_rows_are_not_set_against_each_other(store: Store, dataset: DatasetRecord) -> None:
    first = actions.start_experiment(store, config(dataset, "first"))
    store.datasets.update(dataset.id, fingerprint="f2")
    second = actions.start_experiment(store, config(dataset, "second"))
    for record in (first, second):
        predict(store, record, 30, [1.0] * 20)
    found = compare(store, [first.id, second.id])
    assert found.duels == () and "different rows" in found.notes[0]


def test_the_interval_of_equal_chances_holds_zero_and_is_the_same_each_time() -> None:
    values = tuple(float((-1) ** number) for number in range(100))
    low, high = interval(values)
    assert low < 0 < high
    interval.cache_clear()
    assert interval(values) == (low, high)


def test_a_device_is_found_without_torch() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda:0")
    with pytest.raises(UserError, match="no device tpu"):
        choose_device("tpu")
