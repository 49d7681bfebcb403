"""Prepares an experiment up to where it would train, without one: for a pre-flight in a process of its own."""

import time

from transformers import set_seed

from llm_studio.config import ExperimentConfig
from llm_studio.modeling import devices
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.attention import PACKED, choose_packing
from llm_studio.modeling.loading import quiet
from llm_studio.modeling.quantising import QUANTISED
from llm_studio.store import Store
from llm_studio.training.processes import Processes
from llm_studio.worker.job_answers import estimated
from llm_studio.worker.job_backbone import load_backbone
from llm_studio.worker.job_base_scores import base_scores_key
from llm_studio.worker.job_judge import tried_judge
from llm_studio.worker.job_reporting import Teller
from llm_studio.worker.job_rows import prepare, questions_of
from llm_studio.worker.job_start import Start
from llm_studio.worker.job_steps import bring, within_context
from llm_studio.worker.preflight import Subject, process_seconds


def prepare_subject(
    store: Store, dataset_id: str, config: ExperimentConfig, device: str, teller: Teller
) -> tuple[Subject, float]:
    """The experiment that `worker.job_steps` would train, and how long its process takes to get there when the backbone
    and the tokens are on this machine already.

    Raises:
        UserError: it could not be started like this. Cancelled: the user asked to stop.
    """
    quiet()
    config = config.with_changes({"environment.seed": max(0, config.environment.seed)})
    set_seed(config.environment.seed)
    devices.set_threads()
    judge = tried_judge(store, config, teller)
    began = time.monotonic()
    facts = bring(store, config, teller)
    fetching = time.monotonic() - began
    config = within_context(config, facts, teller)
    known = tokenised(store)
    began = time.monotonic()
    prepared = prepare(store, dataset_id, config, teller)
    questions = questions_of(store, prepared, teller)
    answers = estimated(config, facts, prepared.samples, len(questions), device).generated_rows
    config = config.with_changes({"prediction.max_generated_rows": answers})
    making = 0.0 if known == tokenised(store) else time.monotonic() - began
    begins = Start(None, "", going_on=False, begun=None, own=False)
    model, dtype, autocast = load_backbone(config, facts, begins, prepared, Processes(device=device), teller)
    base_scores = base_scores_key(
        config, prepared.template, questions, device=device, dtype=dtype.value,
        fingerprint=prepared.dataset.fingerprint, commit=str(getattr(model.config, "_commit_hash", "")),
        judge=judge.identity if judge else "",
    )  # fmt: skip
    quantised, new = dtype.value in QUANTISED, prepared.template.new_tokens
    trainable = make_trainable(model, config, quantised=quantised, new_tokens=new).model
    packing = choose_packing(config.training.packing, trainable)
    subject = Subject(
        config=config,
        model=trainable,
        template=prepared.template,
        samples=prepared.samples,
        questions=questions,
        device=device,
        autocast=autocast,
        packed=packing.value == PACKED,
        base_scores=base_scores,
        judge_seconds=judge.row_seconds if judge else 0.0,
    )
    return subject, max(0.0, process_seconds() - making - fetching)


def tokenised(store: Store) -> set[str]:
    """Names of what has been tokenised."""
    folder = store.home.cache / "tokens"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
