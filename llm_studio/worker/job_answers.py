"""Chooses how many rows an experiment answers at each evaluation, before anything is scored; it keeps that number."""

from collections.abc import Sequence
from dataclasses import replace

from llm_studio.actions.preflight import costs_measured
from llm_studio.config import Estimate, ExperimentConfig, estimate
from llm_studio.config.facts import BackboneFacts
from llm_studio.config.generated_rows import generated_rows, generated_words
from llm_studio.evaluation.judge import Judge
from llm_studio.evaluation.scoring import Question
from llm_studio.store import Store
from llm_studio.tokens.stored import StoredSamples
from llm_studio.training.processes import Processes
from llm_studio.worker.job_reporting import Teller
from llm_studio.worker.job_rows import Prepared
from llm_studio.worker.job_start import Begun


def with_answers(
    store: Store,
    prepared: Prepared,
    questions: Sequence[Question],
    facts: BackboneFacts,
    begun: Begun | None,
    processes: Processes,
    reporter: Teller,
    judge: Judge | None = None,
) -> Prepared:
    """The same with the number of answers in its config: of an experiment that goes on, as it began; else what is set;
    else chosen from a check of the last hour, or from the estimate and the judge's trial. All processes take what the
    first one says."""
    config, device = prepared.config, processes.device
    before = 0 if begun is None else min(begun.generated_rows, len(questions))
    costs = costs_measured(store, config, fingerprint=prepared.dataset.fingerprint, device=device)
    if costs is None:
        costs = estimated(config, facts, prepared.samples, len(questions), device).costs
        costs = replace(costs, answer_seconds=costs.answer_seconds + (judge.row_seconds if judge else 0.0))
    rows = int(processes.gathered(before or generated_rows(config, len(questions), costs))[0])
    chosen = not config.prediction.max_generated_rows
    reporter.note(generated_words(rows, len(questions), chosen=chosen, costs=None if before else costs))
    return replace(prepared, config=config.with_changes({"prediction.max_generated_rows": rows}))


def estimated(
    config: ExperimentConfig, facts: BackboneFacts, samples: StoredSamples, validation_rows: int, device: str
) -> Estimate:
    """By arithmetic, from the rows as they are."""
    tokens, _ = samples.lengths()
    return estimate(
        config,
        facts=facts,
        train_rows=len(tokens),
        validation_rows=validation_rows,
        mean_tokens=float(tokens.mean()) if len(tokens) else 0.0,
        device=device,
    )
