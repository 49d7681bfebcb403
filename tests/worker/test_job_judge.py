"""An experiment with a judge: it decides the best checkpoint, is refused before a start, and its failures are no 0."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch

from llm_studio.actions.experiments import config_of
from llm_studio.actions.judging import ADDRESS, KEY
from llm_studio.actions.predictions import predictions_page
from llm_studio.actions.preflight import base_scores_known, look, start_check
from llm_studio.errors import UserError
from llm_studio.evaluation.judge import AT_ONCE
from llm_studio.store import ExperimentRecord, Store
from llm_studio.worker import preflight_job
from llm_studio.worker.job import run
from tests.support.judge import Answer, JudgeServer, graded, part, running_judge
from tests.support.tuned import make_backbone
from tests.worker.test_job import LIMIT_SECONDS, charts, log_of, process_of, started, store

__all__ = ["store"]
KNOWN = "The scores of the untouched backbone on these rows are known from before."
EACH_EPOCH = {"training.evaluation_epochs": 1.0}
ANSWERS = 5
"""Rows that are answered, and so judged, at each evaluation."""


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLM_STUDIO_JUDGE_KEY", "LLM_STUDIO_JUDGE_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


class InTurn:
    """One answer for all rows of an evaluation, another for the next; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self._asked = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Answer:
        with self._lock:
            turn = self._asked // ANSWERS
            self._asked += 1
        return self._answers[min(turn, len(self._answers) - 1)]


@pytest.fixture
def served(request: pytest.FixtureRequest, store: Store) -> Iterator[JudgeServer]:
    """A judge that answers as the test's parameter says, set as the store's endpoint."""
    with running_judge(graded(request.param)) as server:
        store.preferences.set(ADDRESS, server.url)
        yield server


def judged(store: Store, backbone: Path, name: str = "one", **changes: Any) -> ExperimentRecord:
    record = queued(store, backbone, name, **changes)
    store.experiments.claim(record.id)
    run(store, record.id, threading.Event())
    return store.experiments.get(record.id)


def queued(store: Store, backbone: Path, name: str = "one", **changes: Any) -> ExperimentRecord:
    wanted = {"prediction.metric": "gpt", "prediction.metric_gpt_model": "grader"}
    return started(
        store, backbone, **{"experiment_name": name, "training.epochs": 3, **EACH_EPOCH, **wanted, **changes}
    )


def notes_of(store: Store, record: ExperimentRecord) -> str:
    return " ".join(row["text"] for row in charts(store, record, "note"))


@pytest.mark.parametrize("served", [InTurn("a\nSCORE: 0.3", "b\nSCORE: 0.5", "c\nSCORE: 0.9", "d\nSCORE: 0.2")],
                         indirect=True)  # fmt: skip
def test_the_judge_decides_which_checkpoint_is_the_best(store: Store, backbone: Path, served: JudgeServer) -> None:
    record = judged(store, backbone)
    assert record.status == "finished", record.error
    evaluations = charts(store, record, "evaluation")
    assert [row["gpt"] for row in evaluations] == pytest.approx([0.3, 0.5, 0.9, 0.2])
    assert [row["judged_rows"] for row in evaluations] == [ANSWERS] * 4
    assert record.scores["best"]["step"] == evaluations[2]["step"]
    assert (record.scores["before"]["gpt"], record.scores["last"]["gpt"]) == pytest.approx((0.3, 0.2))
    assert min(evaluations, key=lambda row: row["perplexity"])["step"] == evaluations[3]["step"]
    assert (served.trials, len(served.asked)) == (1 + AT_ONCE, 1 + AT_ONCE + 4 * ANSWERS)
    folder = store.home.experiment(record.id)
    page = predictions_page(folder, step=evaluations[2]["step"], order="judged")
    assert page.judged and {(pair.now.judged, pair.now.judge_reason) for pair in page.pairs[:ANSWERS]} == {(0.9, "c")}
    assert {pair.now.judge_reason for pair in page.pairs[ANSWERS:]} == {None}
    asked = served.asked[-1]["messages"][-1]["content"]
    rows = parquet.read_table(folder / "predictions" / f"{evaluations[3]['step']:08d}.parquet").to_pylist()
    shown = (part(asked, "question"), part(asked, "right_answer"), part(asked, "answer"))
    assert shown in {(row["prompt"], row["target"], (row["output"] or "").strip() or "(empty)") for row in rows}
    assert "The judge scored 5 of 5 answers." in notes_of(store, record)


@pytest.mark.parametrize("served", [InTurn("SCORE: 0.3", "SCORE: 0.5", (422, "away"), "SCORE: 0.6")], indirect=True)
def test_an_evaluation_without_a_grade_has_no_score_and_neither_wins_nor_ends_the_experiment(
    store: Store, backbone: Path, served: JudgeServer
) -> None:
    record = judged(store, backbone, **{"training.early_stopping_patience": 1})
    assert record.status == "finished", record.error
    evaluations = charts(store, record, "evaluation")
    assert [row["gpt"] for row in evaluations] == [0.3, 0.5, None, pytest.approx(0.6)]
    assert record.scores["best"]["step"] == evaluations[3]["step"]
    notes = notes_of(store, record)
    assert "The judge scored 0 of 5 answers; 5 failed: the request was refused (HTTP 422) (5)." in notes
    assert "Too few for a score of this evaluation." in notes and "Ended early" not in notes


@pytest.mark.parametrize("served", [lambda text: "SCORE: 0.5"], indirect=True)
def test_scores_before_tuning_are_known_to_the_same_judge_alone(
    store: Store, backbone: Path, served: JudgeServer
) -> None:
    untrained = {"training.epochs": 0}
    for name, changes, known in (
        ("one", {}, False),
        ("two", {}, True),
        ("three", {"prediction.metric_gpt_model": "another"}, False),
        ("four", {"prediction.metric_gpt_template": "rag"}, False),
    ):
        record = judged(store, backbone, name, **untrained, **changes)
        assert (KNOWN in notes_of(store, record)) == known, name
        assert record.scores["before"]["gpt"] == 0.5
        assert charts(store, record, "evaluation")[0]["judged_rows"] == ANSWERS
    store.preferences.set(ADDRESS, served.url.replace("127.0.0.1", "localhost"))
    assert KNOWN not in notes_of(store, judged(store, backbone, "five", **untrained))


@pytest.mark.parametrize("served", [InTurn((422, "away"), "SCORE: 0.5")], indirect=True)
def test_scores_before_tuning_that_lack_a_grade_are_not_kept_for_others(
    store: Store, backbone: Path, served: JudgeServer
) -> None:
    first = judged(store, backbone, **{"training.epochs": 0})
    assert first.scores["before"]["gpt"] is None and first.scores["before"]["bleu"] is not None
    second = judged(store, backbone, "two", **{"training.epochs": 0})
    assert second.scores["before"]["gpt"] == 0.5 and KNOWN not in notes_of(store, second)


@pytest.mark.parametrize("served", [lambda text: "SCORE: 0.5"], indirect=True)
def test_the_check_before_a_start_measures_the_judge_and_knows_what_it_has_scored(
    store: Store, backbone: Path, served: JudgeServer
) -> None:
    record = judged(store, backbone, **{"training.epochs": 0})
    config, dataset = config_of(store, record.id), store.datasets.list()[0]
    asked = len(served.asked)
    job = start_check(store, dataset, config, device="cpu", context_length=256)
    preflight_job.run(store.home, store, job, lambda *told: None)
    measured = look(store, dataset, config, device="cpu", context_length=256).measured
    assert measured is not None and measured.judge_seconds > 0
    assert len(served.asked) - asked == 1 + AT_ONCE
    assert base_scores_known(store, measured, ANSWERS)
    store.preferences.set(ADDRESS, "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="the connection failed"):
        preflight_job.run(store.home, store, job, lambda *told: None)
    assert store.leases.holder("cpu") is None


def test_a_judge_that_refuses_the_key_ends_the_experiment_before_it_begins(
    store: Store, backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_judge(lambda body: (401, "Incorrect key sk-wrong")) as server:
        store.preferences.set(ADDRESS, server.url)
        store.secrets.set(KEY, "sk-wrong")
        record = judged(store, backbone)
    assert record.status == "failed" and record.error is not None
    assert "the key was refused (HTTP 401)" in record.error["what"]
    assert record.error["where"] == "prediction.metric" and "Settings" in record.error["fix"]
    assert server.keys == ["Bearer sk-wrong"]
    log = capsys.readouterr().out
    assert "Asking the judge" in log and "Reading the data set" not in log
    assert "sk-wrong" not in log + str(record)


def test_a_judge_without_its_key_or_name_is_refused_at_the_start(store: Store, backbone: Path) -> None:
    with pytest.raises(UserError, match=r"The judge at api\.openai\.com needs a key"):
        queued(store, backbone)
    with pytest.raises(UserError, match="needs a judge model"):
        queued(store, backbone, **{"prediction.metric_gpt_model": ""})
    assert store.experiments.list() == []


def test_stop_is_heard_while_the_judge_is_silent(store: Store, backbone: Path) -> None:
    terminated = threading.Event()

    def hangs(text: str) -> Answer:
        terminated.set()
        return None

    with running_judge(graded(hangs)) as server:
        store.preferences.set(ADDRESS, server.url)
        record = queued(store, backbone, **{"training.evaluate_before_training": False})
        store.experiments.claim(record.id)
        run(store, record.id, terminated)
    assert store.experiments.get(record.id).status == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("served", [lambda text: "SCORE: 0.5"], indirect=True)
def test_two_processes_ask_once_about_each_answer(store: Store, backbone: Path, served: JudgeServer) -> None:
    record = queued(store, backbone, **{"environment.gpus": "cpu:2", "training.epochs": 1})
    assert process_of(store, record).wait(LIMIT_SECONDS) == 0, log_of(store, record)
    record = store.experiments.get(record.id)
    assert record.status == "finished" and record.scores["best"]["gpt"] == 0.5
    assert (served.trials, len(served.asked)) == (1 + AT_ONCE, 1 + AT_ONCE + 2 * ANSWERS)
