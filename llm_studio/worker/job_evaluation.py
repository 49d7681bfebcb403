"""Scores the model at each evaluation and keeps predictions, scores and the best of them; scores before are cached."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from llm_studio.config import ExperimentConfig
from llm_studio.evaluation.judge import METRIC as JUDGED
from llm_studio.evaluation.judge import Judge
from llm_studio.evaluation.scores import all_scores
from llm_studio.evaluation.scoring import Question, score_rows
from llm_studio.evaluation.types import Prediction
from llm_studio.modeling.generation import answering_words
from llm_studio.modeling.heap import give_back
from llm_studio.store import ExperimentRecord, Store, base_scores
from llm_studio.tokens.template import Template
from llm_studio.training.processes import ALONE, Processes
from llm_studio.worker.job_base_scores import base_scores_key, scored_before
from llm_studio.worker.job_judge import judged_together
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.job_together import score_together
from llm_studio.worker.predictions_file import values_of, write_predictions

Values = dict[str, Any]


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
        self._told = False

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
        kept = base_scores.find(self._store.home, self.base_scores, answers)
        known = self.processes.agreed(kept is not None)[0]
        if not self.processes.first:
            if not known:
                self.score(model, 0, 0.0, "before")
            return
        rows = self._folder / f"{0:08d}.parquet"
        if kept is not None:
            values, predictions, scores = scored_before(kept, answers)
            write_predictions(rows, predictions, scores)
            self._reporter.note(f"The scores of {of} on these rows are known from before.")
            self._tell(values, "before")
            return
        self._reporter.phase(f"Scoring {of}")
        values = self.score(model, 0, 0.0, "before", prefix=f"{of[:1].upper()}{of[1:]}: ")
        self.seconds_before = float(values["seconds"])
        if self._judge and values.get("judged_rows", 0) < values["generated_rows"]:
            return  # another experiment may get a grade for each
        base_scores.keep(self._store.home, self.base_scores, answers, values, rows)

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
        prompts = [
            len(question.prompt) for question in self.questions[: self.config.prediction.max_generated_rows or None]
        ]
        if not self._told and prompts:
            self._reporter.note(answering_words(model, self.config, prompts))
            self._told = True
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
        values: Values = {"step": step, "epoch": epoch} | values_of(predictions, scores)
        if self._judge:
            missing = "" if scores[JUDGED].value is not None else " Too few for a score of this evaluation."
            self._reporter.note(f"{judged.words}{missing}")
        values["seconds"] = time.monotonic() - began
        write_predictions(self._folder / f"{step:08d}.parquet", predictions, scores)
        self._tell(values, moment)
        return values

    def _tell_answering(self, model: Any) -> None:
        """How answers are drawn, before the first ones."""
        asked = self.questions[: self.config.prediction.max_generated_rows or None]
        if asked and not self._told:
            self._told = True
            self._reporter.note(answering_words(model, self.config, [len(question.prompt) for question in asked]))

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


def numbers(values: Values) -> dict[str, Any]:
    """What of an evaluation belongs into the list."""
    wanted = ("step", "rows", "generated_rows", "validation_loss", "perplexity", "bleu", "exact_match")
    judged = (JUDGED, "judged_rows")
    return {name: values.get(name) for name in wanted} | {name: values[name] for name in judged if name in values}
