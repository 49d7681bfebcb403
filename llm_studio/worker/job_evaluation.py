"""Scores the model at each evaluation and keeps predictions, scores and the best of them; scores before are cached."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from llm_studio.config import ExperimentConfig
from llm_studio.evaluation.judge import METRIC as JUDGED
from llm_studio.evaluation.judge import Judge
from llm_studio.evaluation.scores import all_scores, mean_of_rows
from llm_studio.evaluation.scoring import Question, score_rows
from llm_studio.evaluation.types import Prediction, Score
from llm_studio.modeling.further_file import stamp
from llm_studio.modeling.heap import give_back
from llm_studio.modeling.loading import path_of
from llm_studio.store import ExperimentRecord, Store
from llm_studio.tokens.template import Template
from llm_studio.training.processes import ALONE, Processes
from llm_studio.worker.job_judge import judged_together
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.job_together import score_together

Values = dict[str, Any]
KEY_VERSION = 3
"""Raised when the way of scoring changes, so that older scores are not taken for new ones."""


class Evaluations:
    """All evaluations of one experiment, on the same rows.

    base_scores: under which name those of the untouched backbone are kept; seconds_before: how long they took.
    """

    def __init__(
        self,
        store: Store,
        record: ExperimentRecord,
        config: ExperimentConfig,
        template: Template,
        questions: Sequence[Question],
        reporter: Reporter,
        processes: Processes = ALONE,
        judge: Judge | None = None,
    ) -> None:
        self.processes = processes
        self._store = store
        self._record = record
        self.config = config
        self._template = template
        self._reporter = reporter
        self._folder = store.home.experiment(record.id) / "predictions"
        self.questions = questions
        self.base_scores = ""
        self.seconds_before = 0.0
        self._judge = judge
        self._noted: set[str] = set()

    def before(self, model: Any, dtype: str, fingerprint: str, *, of: str, key: str = "") -> None:
        """Score what the experiment starts from, or take the scores from an earlier experiment on the same rows.

        of: what that is, in words ("the untouched backbone"). key: changes with weights that are not the backbone's.
        """
        commit = f"{getattr(model.config, '_commit_hash', '')} {key}".strip()
        self.base_scores = base_scores_key(
            self.config, self._template, self.questions, device=self._record.device, dtype=dtype,
            fingerprint=fingerprint, commit=commit, judge=self._judge.identity if self._judge else "",
        )  # fmt: skip
        answers = min(self.config.prediction.max_generated_rows or len(self.questions), len(self.questions))
        cached = self._store.home.base_scores / f"{self.base_scores}-{answers}"
        scores_file, rows_file = cached / "scores.json", cached / "predictions.parquet"
        self._folder.mkdir(parents=True, exist_ok=True)
        known = self.processes.agreed(scores_file.is_file() and rows_file.is_file())[0]
        if not self.processes.first:
            if not known:
                self.score(model, 0, 0.0, "before")
            return
        if known:
            values: Values = json.loads(scores_file.read_text(encoding="utf-8"))
            shutil.copyfile(rows_file, self._folder / f"{0:08d}.parquet")
            self._reporter.note(f"The scores of {of} on these rows are known from before.")
            self._tell(values, "before")
            return
        self._reporter.phase(f"Scoring {of}")
        values = self.score(model, 0, 0.0, "before", prefix=f"{of[:1].upper()}{of[1:]}: ")
        self.seconds_before = float(values["seconds"])
        if self._judge and values["judged_rows"] < values["generated_rows"]:
            return  # another experiment may get a grade for each
        cached.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._folder / f"{0:08d}.parquet", rows_file)
        beside = scores_file.with_suffix(".part")
        beside.write_text(json.dumps(values), encoding="utf-8")
        beside.replace(scores_file)

    @property
    def judge_seconds(self) -> float:
        """For the grade of one answer, by the trial; 0 where nobody judges."""
        return self._judge.row_seconds if self._judge else 0.0

    def _once(self, words: str) -> None:
        if words not in self._noted:
            self._noted.add(words)
            self._reporter.note(words)

    def score(self, model: Any, step: int, epoch: float, moment: str, prefix: str = "") -> Values:
        """Score the model as it is now, write charts row and predictions, and set the scores of the moment; {} in a
        process that is not the first, which only takes part.

        Raises:
            Cancelled: the user asked to stop.
        """
        began = time.monotonic()
        give_back()  # what training left in pieces, so that scoring does not come on top of it

        def score(
            questions: Sequence[Question], config: ExperimentConfig, should_stop: Callable[[], bool], in_step: bool
        ) -> list[Prediction]:
            def report(words: str) -> None:
                self._reporter.detail(prefix + words)

            return score_rows(
                model, self._template, questions, config, should_stop=should_stop, report=report, in_step=in_step
            )

        predictions = score_together(
            score, model, self.questions, self.config, self.processes, self._reporter.should_stop, note=self._once
        )
        give_back()
        if self._judge:
            judged = judged_together(
                self._judge, predictions, self.questions, self.processes, self._reporter, prefix=prefix
            )
            predictions = judged.predictions
        if not self.processes.first:
            return {}
        scores = all_scores(predictions)
        values: Values = {"step": step, "epoch": epoch, "rows": len(predictions)}
        values |= {name: score.value for name, score in scores.items() if name != JUDGED or self._judge}
        values["generated_rows"] = sum(prediction.output is not None for prediction in predictions)
        values["bleu_signature"] = scores["bleu"].signature
        values["mean_row_perplexity"] = mean_of_rows(scores["perplexity"])
        values["mean_row_bleu"] = mean_of_rows(scores["bleu"])
        if self._judge:
            values["judged_rows"] = sum(prediction.judged is not None for prediction in predictions)
            missing = "" if scores[JUDGED].value is not None else " Too few for a score of this evaluation."
            self._reporter.note(f"{judged.words}{missing}")
        values["seconds"] = time.monotonic() - began
        write_predictions(self._folder / f"{step:08d}.parquet", predictions, scores)
        self._tell(values, moment)
        return values

    def keep_best(self, values: Values) -> None:
        """Note that these are the best scores so far."""
        self._store.experiments.update(self._record.id, scores={"best": numbers(values)})

    def best(self) -> Values | None:
        """The best scores so far; also those of an earlier part of a continued experiment."""
        return self._store.experiments.get(self._record.id).scores.get("best")

    def _tell(self, values: Values, moment: str) -> None:
        self._reporter.charts.append("evaluation", values)
        self._store.experiments.update(self._record.id, scores={moment: numbers(values)})
        words = "before tuning" if moment == "before" else f"step {values['step']}"
        shown = (
            f"{name} {values[name]:.4g}"
            for name in ("validation_loss", "perplexity", "bleu", "exact_match", JUDGED)
            if values.get(name) is not None
        )
        self._reporter.note(f"Evaluation {words} on {values['rows']} rows: {', '.join(shown)}.")


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
    nobody); how many rows get one is added where scores are kept."""
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
        config.prediction.model_dump(exclude={"max_generated_rows"}),
        *([judge] if judge else []),
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


def numbers(values: Values) -> dict[str, Any]:
    """What of an evaluation belongs into the list."""
    wanted = ("step", "rows", "generated_rows", "validation_loss", "perplexity", "bleu", "exact_match")
    judged = (JUDGED, "judged_rows")
    return {name: values.get(name) for name in wanted} | {name: values[name] for name in judged if name in values}


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
