"""The check before a start: asks for a pre-flight on the device, finds its figures, and says who keeps the device."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from llm_studio.actions.judging import judge_identity
from llm_studio.config import ExperimentConfig, flatten, to_yaml
from llm_studio.config.device_names import places
from llm_studio.config.generated_rows import Costs
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import cached_snapshot, is_path
from llm_studio.modeling.further_file import stamp
from llm_studio.starter import BACKBONE
from llm_studio.store import DatasetRecord, JobRecord, Store, base_scores
from llm_studio.training.forecast import Forecast, Measured, answers_of, costs_of, forecast
from llm_studio.training.plan import make_plan

KIND = "preflight"
HOLDER = "preflight"  # kind of the lease that a pre-flight takes
VERSION = 3
"""Raised when something is measured in another way, so that older figures are not taken for new ones."""
NEVER_SHAPES = (
    "experiment_name", "dataset_id", "environment.seed", "environment.gpus", "training.epochs",
    "training.learning_rate", "training.differential_learning_rate", "training.schedule",
    "training.min_learning_rate_ratio", "training.warmup_epochs", "training.weight_decay",
    "training.evaluation_epochs", "training.evaluate_before_training", "training.save_checkpoint",
    "training.early_stopping_patience", "prediction.metric", "prediction.max_generated_rows", "logging.",
)  # fmt: skip
"""Settings that change neither memory nor the time of one step, one answer or one checkpoint. All others do, new ones
too, until they are named here. The data set and the device are part of the key by their own names."""


@dataclass(frozen=True)
class Check:
    """How a pre-flight stands. measured: its figures of the last hour. job: the newest one for these settings, which
    may still run, or may have failed."""

    key: str
    measured: Measured | None = None
    job: JobRecord | None = None

    @property
    def is_running(self) -> bool:
        """Whether figures are being measured now."""
        return self.job is not None and self.job.status in ("queued", "running")


def key_of(
    config: ExperimentConfig, *, fingerprint: str, device: str, context_length: int | None, judge: str = ""
) -> str:
    """32 hexadecimal digits of everything that shapes the figures.

    fingerprint: of the data set. context_length: of the backbone, at which rows are cut. judge: who grades answers.
    """
    settings = {path: value for path, value in flatten(config).items() if not path.startswith(NEVER_SHAPES)}
    settings["tokenizer.max_length"] = min(config.tokenizer.max_length, context_length or config.tokenizer.max_length)
    parts = [
        VERSION, library_versions(), fingerprint, device, os.cpu_count(),
        psutil.virtual_memory().total, settings, files_of(config), judge,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def library_versions() -> tuple[str, ...]:
    """Of what computes; read from the installed packages without importing them."""
    return version("torch"), version("transformers"), version("peft")


def files_of(config: ExperimentConfig) -> list[tuple[str, int, int]]:
    """Name, size and time of each file of the backbone, none while it would have to be downloaded, and of the file that
    is laid over it."""
    name = config.llm_backbone.strip()
    folder: Path | None = BACKBONE if name == "starter" else None
    if folder is None:
        here = is_path(name)
        folder = Path(name).expanduser() if here else cached_snapshot(name, config.environment.huggingface_branch)
    further = stamp(config)
    if folder is None or not folder.is_dir():
        return further
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [*further, *((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)]


def figures_of(store: Store, key: str) -> Measured | None:
    """The figures of the last hour under a key."""
    kept = store.preflights.get(key)
    return None if kept is None else Measured.from_dict(kept)


def costs_measured(store: Store, config: ExperimentConfig, *, fingerprint: str, device: str) -> Costs | None:
    """What answers of an experiment cost, by a check of the last hour; None when there is none."""
    judge = judge_identity(store, config)
    key = key_of(config, fingerprint=fingerprint, device=device, context_length=None, judge=judge)
    measured = figures_of(store, key)
    if measured is None:
        return None
    plan = make_plan(config, measured.rows)
    return costs_of(measured, steps=plan.steps, evaluations=max(1, len(plan.evaluations)))


def base_scores_known(store: Store, measured: Measured, generated_rows: int) -> bool:
    """Whether an experiment has left the scores of the untouched backbone on these rows, with so many answers."""
    return base_scores.find(store.home, measured.base_scores, generated_rows) is not None


def forecast_of(store: Store, measured: Measured, config: ExperimentConfig) -> Forecast:
    """The whole experiment, with as many epochs and evaluations as the config asks for."""
    plan = make_plan(config, measured.rows)
    evaluations = max(1, len(plan.evaluations))
    rows = answers_of(measured, config, steps=plan.steps, evaluations=evaluations)
    return forecast(
        measured,
        config,
        steps=plan.steps,
        evaluations=evaluations,
        base_scores_known=base_scores_known(store, measured, rows),
    )


def look(
    store: Store, dataset: DatasetRecord, config: ExperimentConfig, *, device: str, context_length: int | None
) -> Check:
    """What is known for these settings; starts nothing."""
    key = key_of(
        config,
        fingerprint=dataset.fingerprint,
        device=device,
        context_length=context_length,
        judge=judge_identity(store, config),
    )
    jobs = store.jobs.list(kind=KIND, subject=dataset.id)
    return Check(key, figures_of(store, key), next((job for job in jobs if job.params.get("key") == key), None))


def start_check(
    store: Store, dataset: DatasetRecord, config: ExperimentConfig, *, device: str, context_length: int | None
) -> JobRecord:
    """Ask for a pre-flight; one that waits or runs for the same settings goes on.

    Raises:
        UserError: the device is in use.
    """
    found = look(store, dataset, config, device=device, context_length=context_length)
    if found.job is not None and found.is_running:
        return found.job
    refuse_if_busy(store, device)
    params: dict[str, Any] = {
        "config": to_yaml(config.with_changes({"dataset_id": dataset.id})),
        "dataset_id": dataset.id,
        "device": device,
        "key": found.key,
    }
    return store.jobs.create(KIND, params, subject=dataset.id)


def refuse_if_busy(store: Store, device: str) -> None:
    """A pre-flight beside something else would measure that too, and could push it out of memory.

    Raises:
        UserError: somebody uses the device, or there are several, which are not measured together.
    """
    if len(places(device)) > 1:
        raise UserError(
            f"A check measures one device, not {device}.",
            where="Device",
            fix="Check with one device; several take about their share of its time, and each as much memory with DDP.",
        )
    holder = store.leases.holder(device)
    if holder is None:
        return
    if holder.holder_kind == "experiment":
        record = store.experiments.find(holder.holder_id)
        who = f"is training {record.name!r}" if record else "is training an experiment"
        fix = "Check when it has ended. The experiment itself checks again when it starts."
    elif holder.holder_kind == "server":
        who, fix = "holds a model for a chat", "Unload the model on the Chat page, then check again."
    else:
        who, fix = "is being measured by another check", "Check again in a moment."
    raise UserError(f"The device {device} {who}.", where="Device", fix=fix)
