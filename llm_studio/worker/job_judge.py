"""The judge of an experiment: tried before anything is trained, then asked about the answers of each evaluation."""

from collections.abc import Sequence

from llm_studio.actions.judging import judge_of
from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled
from llm_studio.evaluation.judge import Judge, Judged
from llm_studio.evaluation.scoring import Question
from llm_studio.evaluation.types import Prediction
from llm_studio.store import Store
from llm_studio.training.processes import ALONE, Processes
from llm_studio.worker.job_reporting import Teller


def tried_judge(store: Store, config: ExperimentConfig, teller: Teller, processes: Processes = ALONE) -> Judge | None:
    """The judge, once the first process has tried it; None when the metric needs none.

    Raises:
        UserError: it cannot be used. Cancelled: the user asked to stop.
    """
    judge = judge_of(store, config)
    if judge is not None and processes.first:
        teller.phase("Asking the judge for a trial")
        teller.note(judge.try_out(teller.should_stop))
    return judge


def judged_together(
    judge: Judge,
    predictions: Sequence[Prediction],
    questions: Sequence[Question],
    processes: Processes,
    teller: Teller,
    prefix: str = "",
) -> Judged:
    """The first process asks, the others wait for it and keep what they have.

    Raises:
        Cancelled: the user asked to stop; in all processes.
    """
    found: Judged | None = Judged(list(predictions), 0, {})
    if processes.first:
        try:
            found = judge.judged(
                predictions,
                questions,
                should_stop=teller.should_stop,
                report=lambda words: teller.detail(prefix + words),
            )
        except Cancelled:
            found = None
    if processes.agreed(found is None)[0] or found is None:
        raise Cancelled
    return found
