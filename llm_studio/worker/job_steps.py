"""The steps of one experiment, in order."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from llm_studio.config import ExperimentConfig, from_yaml
from llm_studio.config.facts import BackboneFacts
from llm_studio.data import open_dataset
from llm_studio.data.dataset import Dataset, Part
from llm_studio.errors import Cancelled, UserError
from llm_studio.evaluation.scoring import Question, make_questions
from llm_studio.modeling import devices, kernels
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.attention import PACKED, choose_packing
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.download import fetch, is_here, use_token
from llm_studio.modeling.loading import CONFIG_FILE, QUANTISED, load_model, load_tokenizer, quiet
from llm_studio.store import ExperimentRecord, Store
from llm_studio.tokens.making import make_template
from llm_studio.tokens.stored import StoredSamples, tokenise
from llm_studio.tokens.template import Template
from llm_studio.training.divergence import DivergedError
from llm_studio.training.plan import make_plan
from llm_studio.training.trainer import Trainer
from llm_studio.worker.job_evaluation import Evaluations
from llm_studio.worker.job_listener import TrainingListener
from llm_studio.worker.job_reporting import Reporter

RESUME = "resume"
SEED_FILE = "seed.txt"


@dataclass(frozen=True)
class Prepared:
    """Everything that does not need the backbone's weights."""

    config: ExperimentConfig
    dataset: Dataset
    tokenizer: Any
    template: Template
    samples: StoredSamples


def run_experiment(store: Store, record: ExperimentRecord, reporter: Reporter) -> bool:
    """Run it to its end; False when it was stopped.

    Raises:
        UserError: something the user can put right. Cancelled: stopped before there was anything to keep.
    """
    quiet()
    folder = store.home.experiment(record.id)
    config = with_seed(from_yaml((folder / CONFIG_FILE).read_text(encoding="utf-8")).config, folder)
    set_seed(config.environment.seed)
    threads = devices.set_threads()
    reporter.note(f"Device {record.device}; {threads.value} threads: {threads.reason}; seed {config.environment.seed}.")
    facts = bring(store, config, reporter)
    config = within_context(config, facts, reporter)
    prepared = prepare(store, record, config, reporter)
    reporter.phase("Loading the backbone")
    model, dtype = load_model(config, device=record.device, parameters=facts.parameters, trains=True)
    check_vocabulary(model, prepared.samples, config.llm_backbone)
    reporter.note(f"Backbone {config.llm_backbone} in {dtype.value}: {dtype.reason}.")
    autocast, why = devices.choose_autocast(
        device=record.device, mixed_precision=config.environment.mixed_precision, dtype=dtype.value
    )
    reporter.note(f"Computing in {'32 bits' if autocast is None else str(autocast).removeprefix('torch.')}: {why}.")
    for words in kernels.prepare(model, config.training.kernels, torch.device(record.device)):
        reporter.note(words)
    questions = questions_of(store, prepared, reporter)
    reporter.note(generated_words(config.prediction.max_generated_rows, len(questions)))
    evaluations = Evaluations(store, record, prepared.config, prepared.template, questions, reporter)
    resume = folder / "checkpoints" / RESUME
    going_on = resume.is_dir()
    if config.training.evaluate_before_training and not going_on:
        evaluations.before(model, dtype.value, prepared.dataset.fingerprint)
    set_seed(config.environment.seed)  # the same start, whether the scores above were computed or known
    trainable = make_trainable(model, config, quantised=dtype.value in QUANTISED)
    reporter.note(f"{trainable.trained:,} of {trainable.total:,} weights are trained.")
    start_from(store, record, trainable.model)
    finished = run_training(prepared, trainable.model, record, folder, autocast, evaluations, reporter)
    if finished:
        shutil.rmtree(resume, ignore_errors=True)
    return finished


def run_training(
    prepared: Prepared,
    model: Any,
    record: ExperimentRecord,
    folder: Path,
    autocast: torch.dtype | None,
    evaluations: Evaluations,
    reporter: Reporter,
) -> bool:
    """Train with evaluations; False when it was stopped."""
    config = prepared.config
    plan = make_plan(config, len(prepared.samples))
    listener = TrainingListener(model, prepared.tokenizer, folder, record, plan, evaluations, reporter)
    if plan.steps == 0:
        listener.evaluate(0, 0.0, last=True)
        return True
    packing = choose_packing(config.training.packing, model)
    if config.training.packing == "always" and packing.value != PACKED:
        raise UserError("This backbone cannot take packed rows.", where="training.packing", fix='Choose "auto".')
    reporter.note(f"Rows of a batch are {packing.value}: {packing.reason}.")
    trainer = Trainer(
        model,
        prepared.samples,
        config,
        folder=folder / "checkpoints" / RESUME,
        device=record.device,
        pad_id=prepared.template.pad_id,
        autocast=autocast,
        packed=packing.value == PACKED,
        listen=listener,
        should_stop=reporter.should_stop,
    )
    for words in trainer.forward.notes:
        reporter.note(words)
    reporter.phase("Training")
    try:
        finished = trainer.run()
    except DivergedError as error:
        step = trainer.back_to_good(error)
        if step is not None:
            listener.save("last", reason="before the loss left", step=step)
        raise
    if not finished:
        listener.save("last", reason="stopped")
    return finished


def prepare(store: Store, record: ExperimentRecord, config: ExperimentConfig, reporter: Reporter) -> Prepared:
    """Read the rows and turn them into tokens.

    Raises:
        UserError: the template refuses a row, or no row has anything to learn.
    """
    reporter.phase("Reading the data set")
    dataset = open_dataset(store.home.dataset(record.dataset_id))
    parts: tuple[Part, ...] = ("train", "validation") if config.training.train_validation_data else ("train",)
    reporter.phase("Turning text into tokens")
    tokenizer = load_tokenizer(config)
    template = make_template(tokenizer, config)
    reporter.note(f"Chat template: {template.source}, since {template.reason}.")
    samples = tokenised_rows(store, template, dataset, parts, reporter)
    counts = samples.counts()
    learned = counts.rows - len(counts.dropped) - len(counts.unlearned)
    reporter.note(
        f"{learned:,} rows to learn from: {counts.tokens:,} tokens, of which {counts.learned_tokens:,} are learned."
    )
    for words in counts.sentences(template.max_length):
        reporter.note(words)
    counts.refuse_nothing(template.max_length, template.truncation)
    return Prepared(config, dataset, tokenizer, template, samples.learned())


def questions_of(store: Store, prepared: Prepared, reporter: Reporter) -> list[Question]:
    """The validation rows to score: every one that ends with an answer, however long it is.

    Raises:
        UserError: there is none.
    """
    template, conversations = prepared.template, prepared.dataset.conversations("validation")
    samples = tokenised_rows(store, template.for_scoring(), prepared.dataset, ("validation",), reporter)
    for words in samples.counts().scoring_sentences(template.max_length):
        reporter.note(words)
    questions = make_questions(template, conversations, samples)
    if not questions:
        raise UserError("No validation row ends with an answer.", where="data set", fix="Change its columns or split.")
    if len(questions) < len(conversations):
        left = len(conversations) - len(questions)
        reporter.note(f"{left:,} of {len(conversations):,} validation rows hold no answer and cannot be scored.")
    return questions


def tokenised_rows(
    store: Store, template: Template, dataset: Dataset, parts: Sequence[Part], reporter: Reporter
) -> StoredSamples:
    """The rows as tokens, from the cache where an earlier experiment left them.

    Raises:
        UserError: the template refuses a row. Cancelled: the user asked to stop.
    """

    def tell(done: int, total: int) -> None:
        if reporter.should_stop():
            raise Cancelled
        reporter.detail(f"Turning text into tokens: {done:,} of {total:,} rows")

    found = tokenise(store.home.cache / "tokens", template, dataset, parts, tell)
    if found.known:
        reporter.note(f"The tokens of the {' and '.join(parts)} rows are known from before.")
    return found.samples


def with_seed(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    """Seed -1 becomes a drawn one, which is kept for the case that the experiment is continued."""
    if config.environment.seed >= 0:
        return config
    kept = folder / SEED_FILE
    if not kept.is_file():
        kept.write_text(str(random.SystemRandom().randrange(2**31)), encoding="utf-8")
    return config.with_changes({"environment.seed": int(kept.read_text(encoding="utf-8"))})


def bring(store: Store, config: ExperimentConfig, reporter: Reporter) -> BackboneFacts:
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


def within_context(config: ExperimentConfig, facts: BackboneFacts, reporter: Reporter) -> ExperimentConfig:
    """Rows longer than the backbone can read are cut at what it can."""
    limit = facts.context_length
    if limit is None or config.tokenizer.max_length <= limit:
        return config
    reporter.note(f"The backbone reads {limit:,} tokens: rows are cut there, not at {config.tokenizer.max_length:,}.")
    return config.with_changes({"tokenizer.max_length": limit})


def check_vocabulary(model: Any, samples: StoredSamples, name: str) -> None:
    """Refuse a tokenizer that knows more tokens than the backbone.

    Raises:
        UserError: it does.
    """
    known = int(model.get_input_embeddings().num_embeddings)
    highest = samples.highest_id
    if highest >= known:
        raise UserError(
            f"The tokenizer gives token {highest}, but the backbone knows only {known:,} tokens.",
            where=f"backbone {name}",
            fix="Take a backbone whose tokenizer belongs to it.",
        )


def generated_words(most: int, rows: int) -> str:
    """Which rows get a generated answer, as a sentence."""
    if most and most < rows:
        return f"The first {most} of {rows} validation rows get a generated answer at each evaluation."
    return f"All {rows} validation rows get a generated answer at each evaluation."


def start_from(store: Store, record: ExperimentRecord, model: Any) -> None:
    """Take over the tuned weights of the experiment this one starts from.

    Raises:
        UserError: they do not fit.
    """
    if record.continued_from is None:
        return
    from safetensors.torch import load_file

    from llm_studio.modeling.loading import checkpoint_of

    source = checkpoint_of(store.home.experiment(record.continued_from), "best")
    try:
        if (source / "adapter_model.safetensors").is_file():
            from peft import set_peft_model_state_dict

            set_peft_model_state_dict(model, load_file(source / "adapter_model.safetensors"))
        else:
            for file in sorted(source.glob("*.safetensors")):
                model.load_state_dict(load_file(file), strict=False)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            "The weights of the experiment to start from do not fit this one.",
            where="continued_from",
            fix="Use the same backbone, LoRA rank and target modules.",
        ) from error
