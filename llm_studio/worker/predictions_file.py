"""Predictions of an evaluation as a file, and as a row of the charts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from llm_studio.evaluation.judge import METRIC as JUDGED
from llm_studio.evaluation.scores import mean_of_rows
from llm_studio.evaluation.types import Prediction, Score


def values_of(predictions: Sequence[Prediction], scores: Mapping[str, Score]) -> dict[str, Any]:
    """What an evaluation's row of the charts holds of its scores; of a judge only where one was asked."""
    judged = any(one.judge_reason is not None for one in predictions)
    values: dict[str, Any] = {"rows": len(predictions)}
    values |= {name: score.value for name, score in scores.items() if name != JUDGED or judged}
    values["generated_rows"] = sum(prediction.output is not None for prediction in predictions)
    values["bleu_signature"] = scores["bleu"].signature
    values["mean_row_perplexity"] = mean_of_rows(scores["perplexity"])
    values["mean_row_bleu"] = mean_of_rows(scores["bleu"])
    if judged:
        values["judged_rows"] = sum(prediction.judged is not None for prediction in predictions)
    return values


def write_predictions(path: Path, predictions: Sequence[Prediction], scores: dict[str, Score]) -> None:
    """One row per prediction, with its own scores; written beside and renamed. Columns of the judge only where it was
    asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = [one.judged for one in predictions]
    reasons = [one.judge_reason for one in predictions]
    of_judge = {"judged": pa.array(judged, pa.float64()), "judge_reason": pa.array(reasons, pa.string())}
    exact = [None if value is None else bool(value) for value in scores["exact_match"].per_row]
    table = pa.table(
        {
            "row": pa.array([one.row for one in predictions], pa.int64()),
            "prompt": pa.array([one.prompt for one in predictions], pa.string()),
            "target": pa.array([one.target for one in predictions], pa.string()),
            "output": pa.array([one.output for one in predictions], pa.string()),
            "nll_nats": pa.array([one.nll_nats for one in predictions], pa.float64()),
            "answer_tokens": pa.array([one.answer_tokens for one in predictions], pa.int64()),
            "bleu": pa.array(list(scores["bleu"].per_row), pa.float64()),
            "exact_match": pa.array(exact, pa.bool_()),
            **(of_judge if any(reason is not None for reason in reasons) else {}),
        }
    )
    beside = path.with_suffix(".part")
    parquet.write_table(table, beside)
    beside.replace(path)


def read_predictions(path: Path) -> list[Prediction]:
    """Those that `write_predictions` wrote. The loss of all learned tokens is not there, and reads as 0 of none."""
    names = ("row", "prompt", "target", "output", "nll_nats", "answer_tokens", "judged", "judge_reason")
    return [
        Prediction(**{name: row[name] for name in names if name in row}, loss_nats=0.0, loss_tokens=0)
        for row in parquet.read_table(path).to_pylist()
    ]
