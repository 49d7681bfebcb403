"""The untouched backbone is scored once for all experiments on the same rows, whatever does not change its answers."""

import shutil
from typing import Any

import pyarrow.parquet as parquet
import pytest

from llm_studio.store import ExperimentRecord, Store
from tests.worker.test_job_start import backbone, begin, charts, notes, store

__all__ = ["backbone", "store"]

KNOWN = "scores of the untouched backbone on these rows are known from before"


def scored(store: Store, folder: Any, name: str, answers: int, **changes: Any) -> ExperimentRecord:
    once = {"training.epochs": 0, "training.evaluate_before_training": True, "prediction.max_generated_rows": answers}
    record = begin(store, folder, name, **once, **changes)
    assert record.status == "finished", record.error
    return record


def before(store: Store, record: ExperimentRecord) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of the charts, without the time it took, and the predictions."""
    values = charts(store, record, "evaluation")[0]
    rows = parquet.read_table(store.home.experiment(record.id) / "predictions" / "00000000.parquet").to_pylist()
    return {name: value for name, value in values.items() if name != "seconds"}, rows


def test_scores_with_more_answers_serve_experiments_with_as_many_or_fewer(store: Store, backbone: Any) -> None:
    first = scored(store, backbone, "first", 3)
    assert KNOWN not in notes(store, first)
    same, fewer = scored(store, backbone, "same", 3), scored(store, backbone, "fewer", 2)
    assert KNOWN in notes(store, same) and KNOWN in notes(store, fewer)
    assert before(store, same) == before(store, first)
    more = scored(store, backbone, "more", 4)
    assert KNOWN not in notes(store, more)
    shutil.rmtree(store.home.base_scores)
    anew = scored(store, backbone, "anew", 2)
    assert KNOWN not in notes(store, anew)
    (values, rows), (expected, expected_rows) = before(store, fewer), before(store, anew)
    assert values == {
        name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for name, value in expected.items()
    }
    for row, right in zip(rows, expected_rows, strict=True):
        assert (row["row"], row["output"], row["exact_match"]) == (right["row"], right["output"], right["exact_match"])
        assert row["nll_nats"] == pytest.approx(right["nll_nats"], rel=1e-5)
    assert sum(row["output"] is not None for row in rows) == values["generated_rows"] == 2


def test_what_changes_an_answer_is_scored_anew_and_what_decides_by_scores_is_not(store: Store, backbone: Any) -> None:
    scored(store, backbone, "first", 3)
    assert KNOWN in notes(store, scored(store, backbone, "by bleu", 3, **{"prediction.metric": "bleu"}))
    longer = {"prediction.repetition_penalty": 1.5}
    assert KNOWN not in notes(store, scored(store, backbone, "penalty", 3, **longer))
