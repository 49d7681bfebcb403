"""Scores of what experiments start from: by which name they are kept, and those of an earlier one taken over."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_studio.config import ExperimentConfig
from llm_studio.evaluation.scores import all_scores
from llm_studio.evaluation.scoring import Question
from llm_studio.evaluation.types import Prediction, Score
from llm_studio.modeling.further_file import stamp
from llm_studio.modeling.loading import path_of
from llm_studio.store.base_scores import ROWS, SCORES
from llm_studio.tokens.template import Template
from llm_studio.worker.predictions_file import read_predictions, values_of

KEY_VERSION = 3
"""Raised when the way of scoring changes, so that older scores are not taken for new ones."""
SHAPE_NO_ANSWER = {"max_generated_rows", "metric", "metric_gpt_model", "metric_gpt_template", "num_history"}
"""Settings of answers that change no answer of an evaluation."""


def base_scores_key(
    config: ExperimentConfig,
    template: Template,
    questions: Sequence[Question],
    *,
    device: str,
    dtype: str,
    fingerprint: str,
    commit: str,
    judge: str,
) -> str:
    """Changes with backbone, rows, template, lengths, everything that shapes an answer, and who grades it (empty:
    nobody); how many rows get one is added where scores are kept, and which metric decides changes no score."""
    path = Path(path_of(config.llm_backbone))
    files = sorted(path.glob("*")) if path.is_dir() else []
    parts = [
        KEY_VERSION,
        config.environment.seed if config.prediction.do_sample else 0,
        commit,
        config.llm_backbone,
        config.environment.huggingface_branch,
        [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        stamp(config),
        fingerprint,
        dtype,
        device.partition(":")[0],
        str(template.tokenizer.chat_template),
        [question.sample.row for question in questions],
        config.tokenizer.model_dump(),
        config.dataset.model_dump(),
        config.prediction.model_dump(exclude=SHAPE_NO_ANSWER),
        *([judge] if judge else []),
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


def scored_before(kept: Path, answers: int) -> tuple[dict[str, Any], list[Prediction], dict[str, Score]]:
    """What `store.base_scores.find` found, with as many answers as are wanted: the row of the charts, the predictions,
    and their scores. Rows behind those lose their answers, and scores of answers are computed anew without them."""
    values: dict[str, Any] = json.loads((kept / SCORES).read_text(encoding="utf-8"))
    predictions = read_predictions(kept / ROWS)
    if sum(one.output is not None for one in predictions) > answers:
        rest = predictions[answers:]
        predictions[answers:] = [replace(one, output=None, judged=None, judge_reason=None) for one in rest]
    scores = all_scores(predictions)
    loss = values["validation_loss"]  # the file does not hold what it is computed from
    return values | values_of(predictions, scores) | {"validation_loss": loss}, predictions, scores
