"""How many rows an experiment answers: by what a check measured, else by the estimate; and the same ever after."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.going_on import more_epochs
from llm_studio.actions.preflight import key_of
from llm_studio.config import make_config
from llm_studio.modeling.backbones import check_backbone
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.training.processes import ALONE
from llm_studio.worker.job import run
from llm_studio.worker.job_answers import with_answers
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.job_rows import Prepared, prepare
from llm_studio.worker.job_start import Begun, read_begun
from llm_studio.worker.start import clear_unless_resuming
from tests.support.tuned import make_backbone
from tests.training.test_forecast import MEASURED

QUESTIONS: Sequence[Any] = range(240)
QUICK = replace(MEASURED, scored_rows=240, answer_seconds=0.01, likelihood_seconds=0.01, step_seconds=1.0)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    file = tmp_path / "rows.csv"
    file.write_text("prompt,answer\n" + "".join(f"What is {row}?,A hat {row}.\n" for row in range(300)))
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def asked(store: Store, backbone: Path, **changes: Any) -> ExperimentRecord:
    settings: dict[str, Any] = {
        "dataset_id": store.datasets.list()[0].id,
        "llm_backbone": str(backbone),
        "experiment_name": "one",
        "tokenizer.max_length": 128,
        "environment.gpus": "cpu",
        "training.epochs": 1,
        "training.batch_size": 8,
        "prediction.max_length_inference": 2,
    }
    return start_experiment(store, make_config(settings | changes))


def rows_of(store: Store, record: ExperimentRecord, backbone: Path, begun: Begun | None = None, **changes: Any) -> int:
    """Chosen among 240 rows."""
    reporter = Reporter(store, record.id, threading.Event())
    config = make_config({"llm_backbone": str(backbone), "training.batch_size": 8, **changes})
    prepared: Prepared = prepare(store, record.dataset_id, config, reporter)
    facts = check_backbone(str(backbone))
    found = with_answers(store, prepared, QUESTIONS, facts, begun, ALONE, reporter)
    reporter.charts.flush()
    return found.config.prediction.max_generated_rows


def notes(store: Store, record: ExperimentRecord) -> list[str]:
    return [row["text"] for _, _, row in ChartsDb(store.home.experiment(record.id)).read(kinds=("note",))]


def test_a_measured_pace_of_answers_decides(store: Store, backbone: Path) -> None:
    record = asked(store, backbone)
    config = make_config({"llm_backbone": str(backbone), "training.batch_size": 8})
    fingerprint = prepare(
        store, record.dataset_id, config, Reporter(store, record.id, threading.Event())
    ).dataset.fingerprint
    key = key_of(config, fingerprint=fingerprint, device="cpu", context_length=None)
    store.preflights.put(key, QUICK.as_dict())
    assert rows_of(store, record, backbone) == 240
    store.preflights.put(key, replace(QUICK, answer_seconds=20_000.0).as_dict())
    assert rows_of(store, record, backbone) == 20
    assert "That is the fewest" in notes(store, record)[-1]
    assert rows_of(store, record, backbone, **{"prediction.max_generated_rows": 70}) == 70
    assert notes(store, record)[-1].endswith("always the same ones, as set.")


def test_without_a_check_the_estimate_decides_and_an_older_start_is_kept(store: Store, backbone: Path) -> None:
    record = asked(store, backbone)
    assert rows_of(store, record, backbone) in (20, 50, 100, 200, 240)
    assert rows_of(store, record, backbone, Begun("float32", "", 33)) == 33
    assert notes(store, record)[-1].endswith("always the same ones, as before.")
    assert rows_of(store, record, backbone, Begun("float32", "")) == rows_of(store, record, backbone)


@pytest.mark.slow
def test_an_experiment_tells_how_many_it_answers_and_more_epochs_answer_the_same_rows(
    store: Store, backbone: Path
) -> None:
    record = asked(store, backbone)
    folder = store.home.experiment(record.id)

    def ends() -> None:
        store.experiments.claim(record.id)
        clear_unless_resuming(folder)
        assert run(store, record.id, threading.Event()) == 0, store.experiments.get(record.id).error

    ends()
    begun = read_begun(folder)
    assert begun is not None and begun.generated_rows > 0
    assert any("validation rows get a generated answer" in words for words in notes(store, record))
    (folder / "begun.json").write_text(
        (folder / "begun.json").read_text().replace(f": {begun.generated_rows}", ": 3"), encoding="utf-8"
    )
    more_epochs(store, record.id, epochs=1)
    ends()
    told = [row for _, _, row in ChartsDb(folder).read(kinds=("evaluation",))]
    assert told[-1]["generated_rows"] == 3
