"""The steps of one experiment, in order."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from llm_studio.actions.experiments import SEED_FILE
from llm_studio.config import ExperimentConfig
from llm_studio.config.facts import BackboneFacts
from llm_studio.modeling import devices
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.attention import PACKED, choose_packing
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.download import fetch, is_here, use_token
from llm_studio.modeling.loading import experiment_config, quiet
from llm_studio.modeling.origin import Origin, weights_fingerprint
from llm_studio.modeling.quantising import QUANTISED
from llm_studio.store import ExperimentRecord, Store
from llm_studio.store.rounds import read_rounds
from llm_studio.training.batches import words_about_tokens
from llm_studio.training.divergence import DivergedError
from llm_studio.training.plan import make_plan
from llm_studio.training.sharing import begin
from llm_studio.training.trainer import Trainer
from llm_studio.worker.job_answers import with_answers
from llm_studio.worker.job_backbone import load_backbone
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_forecast import forecast_for, is_told
from llm_studio.worker.job_judge import tried_judge
from llm_studio.worker.job_listener import TrainingListener
from llm_studio.worker.job_processes import (
    before_of_split,
    join,
    loading_in_turns,
    rows_of_micro_batch,
    shared,
)
from llm_studio.worker.job_reporting import Reporter, Teller
from llm_studio.worker.job_rows import (
    Prepared,
    augmentation_of,
    prepare,
    questions_of,
)
from llm_studio.worker.job_start import (
    Begun,
    check_weights,
    config_of_round,
    find_start,
    is_adapter,
    listening_from,
    merge_start,
    moved,
    round_words,
    take_weights,
    write_begun,
)
from llm_studio.worker.preflight import Subject, process_seconds

RESUME = "resume"


def run_experiment(store: Store, record: ExperimentRecord, reporter: Reporter) -> bool:
    """Run it to its end; False when it was stopped.

    Raises:
        UserError: something the user can put right. Cancelled: stopped before there was anything to keep.
    """
    quiet()
    folder = store.home.experiment(record.id)
    processes = join(record)
    record = replace(record, device=processes.device)
    rounds = read_rounds(folder)
    with processes.one_first():
        config = with_seed(experiment_config(folder), folder)
    set_seed(config.environment.seed)
    threads = devices.set_threads()
    reporter.note(f"Device {record.device}; {threads.value} threads: {threads.reason}; seed {config.environment.seed}.")
    with processes.one_first():
        judge = tried_judge(store, config, reporter, processes)
        facts = bring(store, config, reporter)
        config, facts = merge_start(store, record, config, facts, reporter)
        config = within_context(config, facts, reporter)
        prepared = prepare(store, record.dataset_id, config, reporter)
    resume = folder / "checkpoints" / RESUME
    resumed = processes.agreed(resume.is_dir())[0]
    start = find_start(store, record, folder, rounds, going_on=bool(rounds) or resumed)
    fingerprint = check_weights(start, config, reporter)
    processes = shared(config, facts.parameters, processes, reporter)
    with processes.one_first():
        questions = questions_of(store, prepared, reporter)
    prepared = with_answers(store, prepared, questions, facts, start.begun, processes, reporter, judge)
    evaluations = Evaluations(store, record, prepared.config, prepared.template, questions, reporter, processes, judge)
    scores, split = config.training.evaluate_before_training and not start.going_on, processes.kind == "fsdp"
    with loading_in_turns(config, facts.parameters, processes, reporter) as part:
        model, dtype, autocast = load_backbone(config, facts, start, prepared, processes, reporter)
        reporter.note(f"Backbone {record.backbone} in {dtype.value}: {dtype.reason}.")
        if processes.first:
            write_begun(folder, Begun(dtype.value, fingerprint, prepared.config.prediction.max_generated_rows))
        if scores and start.weights is None and not split:
            evaluations.before(model, dtype.value, prepared.dataset.fingerprint, of=start.words)
        set_seed(config.environment.seed)  # the same start, whether the scores above were computed or known
        new, quantised = prepared.template.new_tokens, dtype.value in QUANTISED
        trainable = make_trainable(model, start.adapter_settings(config), quantised=quantised, new_tokens=new)
        reporter.note(f"{trainable.trained:,} of {trainable.total:,} weights are trained.")
        if start.weights is not None and is_adapter(start.weights):
            pissa = start.own and config.training.init_lora_weights == "pissa"
            take_weights(trainable.model, start.weights, start.words, pissa=pissa)
            reporter.note(f"Starts from the weights of {start.words}.")
        part(trainable.model)
    if split:
        begin(trainable.model)
    key = "" if start.weights is None else weights_fingerprint(start.weights)
    if scores and start.weights is not None:
        evaluations.before(trainable.model, dtype.value, prepared.dataset.fingerprint, of=start.words, key=key)
    elif scores and split:
        before_of_split(trainable.model, dtype.value, prepared.dataset.fingerprint, evaluations, start.words)
    origin = Origin(rounds[-1].step if rounds else 0, rounds[-1].epoch if rounds else 0.0, record.backbone, fingerprint)
    finished = run_training(store, prepared, trainable.model, record, facts, autocast, evaluations, reporter, origin)
    if finished and processes.first:
        shutil.rmtree(resume, ignore_errors=True)
    return finished


def run_training(
    store: Store,
    prepared: Prepared,
    model: Any,
    record: ExperimentRecord,
    facts: BackboneFacts,
    autocast: torch.dtype | None,
    evaluations: Evaluations,
    reporter: Reporter,
    origin: Origin,
) -> bool:
    """Tell what it will take, then train; False when it was stopped. origin: step 0, or where more epochs begin."""
    folder = store.home.experiment(record.id)
    rounds = read_rounds(folder)
    config = config_of_round(prepared.config, rounds)
    plan = moved(make_plan(config, len(prepared.samples)), rounds)
    listener = TrainingListener(model, prepared.tokenizer, folder, record, plan, evaluations, reporter, origin)
    if plan.steps == origin.step:
        listener.evaluate(0, 0.0, last=True)
        return True
    packing = choose_packing(config.training.packing, model)
    reporter.note(f"Rows of a batch are {packing.value}: {packing.reason}.")
    if evaluations.processes.size == 1 and not is_told(reporter.charts):
        subject = Subject(
            config, model, prepared.template, prepared.samples, evaluations.questions, record.device, autocast,
            packing.value == PACKED, evaluations.base_scores, evaluations.judge_seconds,
        )  # fmt: skip
        tell_forecast(store, subject, facts, folder, evaluations, prepared, reporter)
    trainer = Trainer(
        model,
        prepared.samples,
        config,
        folder=folder / "checkpoints" / RESUME,
        device=record.device,
        pad_id=prepared.template.pad_id,
        autocast=autocast,
        packed=packing.value == PACKED,
        augment=augmentation_of(replace(prepared, config=config)),
        processes=evaluations.processes,
        most_rows=rows_of_micro_batch(folder, reporter),
        listen=listening_from(rounds, listener),
        should_stop=reporter.should_stop,
    )
    about_tokens = words_about_tokens(trainer.feed.layout, prepared.samples.lengths()[0].tolist())
    for words in (*trainer.forward.notes, *([about_tokens] if about_tokens else [])):
        reporter.note(words)
    reporter.phase("Training")
    if rounds:
        reporter.note(round_words(config, rounds))
    try:
        finished = trainer.run()
    except DivergedError as error:
        step = trainer.back_to_good(error)
        if step is not None:
            listener.save("last", reason="before the loss left", step=step + origin.step)
        raise
    if not finished:
        listener.save("last", reason="stopped")
    return finished


def tell_forecast(
    store: Store,
    subject: Subject,
    facts: BackboneFacts,
    folder: Path,
    evaluations: Evaluations,
    prepared: Prepared,
    reporter: Reporter,
) -> None:
    """What the experiment will take, from a check of the last hour or measured now."""
    ready = process_seconds() - evaluations.seconds_before
    forecast_for(store, subject, facts, folder, reporter, fingerprint=prepared.dataset.fingerprint, start_seconds=ready)


def with_seed(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    """Seed -1 becomes a drawn one, which is kept for the case that the experiment is continued."""
    if config.environment.seed >= 0:
        return config
    kept = folder / SEED_FILE
    if not kept.is_file():
        kept.write_text(str(random.SystemRandom().randrange(2**31)), encoding="utf-8")
    return config.with_changes({"environment.seed": int(kept.read_text(encoding="utf-8"))})


def bring(store: Store, config: ExperimentConfig, reporter: Teller) -> BackboneFacts:
    """Look the backbone up, and fetch it from the Hub when it is not on this machine.

    Raises:
        UserError: it cannot be used or fetched. Cancelled: stopped while it was fetched.
    """
    token = store.secrets.get("huggingface_token")
    use_token(token)
    name, revision = config.llm_backbone, config.environment.huggingface_branch
    facts = check_backbone(name, revision=revision, token=token, trust_remote_code=config.environment.trust_remote_code)
    if not is_here(name, revision):
        reporter.phase("Downloading the backbone")
        fetch(
            name,
            revision=revision,
            total_bytes=facts.download_bytes,
            report=reporter.detail,
            should_stop=reporter.should_stop,
        )
    return facts


def within_context(config: ExperimentConfig, facts: BackboneFacts, reporter: Teller) -> ExperimentConfig:
    """Rows longer than the backbone can read are cut at what it can."""
    limit = facts.context_length
    if limit is None or config.tokenizer.max_length <= limit:
        return config
    reporter.note(f"The backbone reads {limit:,} tokens: rows are cut there, not at {config.tokenizer.max_length:,}.")
    return config.with_changes({"tokenizer.max_length": limit})
