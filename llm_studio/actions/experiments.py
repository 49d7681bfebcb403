"""What a user can do with experiments: start, stop, continue, restart, rename, delete, begin one from another."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from llm_studio.actions.devices import choose_device
from llm_studio.actions.judging import judge_findings
from llm_studio.actions.starting_from import Start, start_findings, take_along
from llm_studio.charts.curves import forget_curves
from llm_studio.config import BackboneFacts, ExperimentConfig, Finding, check, from_yaml, to_yaml
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.further_file import file_of
from llm_studio.store import DatasetRecord, ExperimentRecord, Store
from llm_studio.store.rounds import read_rounds, write_rounds

BEGUN_FILE = "begun.json"  # with which weights and number type it began
SEED_FILE = "seed.txt"  # that was drawn for it, where none is set
SPARE_BYTES = 200_000_000
BYTES_PER_TRAINED_WEIGHT = 20  # weights twice (last and best) and, to go on from, weights with AdamW's state
BYTES_PER_MERGED_WEIGHT = 4


def start_experiment(store: Store, config: ExperimentConfig, *, start: Start | None = None) -> ExperimentRecord:
    """Check everything that can be checked without loading the backbone, then write the config and queue it.

    start: the experiment whose tuned weights it starts from, and how; None starts from the backbone.

    Raises:
        UserError: data set, backbone, device, disk or settings do not allow a start; all wrong settings at once.
    """
    dataset = dataset_of(store, config)
    device = choose_device(config.environment.gpus)
    facts = facts_of(store, config)
    further = file_of(config)
    if further is not None:  # as whoever reads it later stands in another folder
        config = config.with_changes({"architecture.pretrained_weights": str(further.resolve())})
    findings = check(
        config,
        train_rows=dataset.train_rows,
        validation_rows=dataset.validation_rows,
        device=device,
        context_length=facts.context_length,
    )
    starting = start_findings(store, config, start) if start else ()
    refuse_errors((*findings, *judge_findings(store, config), *starting))
    check_disk(store.home.path, needed_bytes(config, facts, merged=start is not None and start.what == "merged"))
    return store.experiments.create(
        to_yaml(config),
        name=config.experiment_name,
        dataset_id=dataset.id,
        backbone=config.llm_backbone,
        problem_type=config.problem_type,
        device=device,
        continued_from=start.experiment_id if start else None,
        continued_what=start.what if start else None,
        continued_which=start.which if start else None,
        fill=take_along(store, start) if start else leave_empty,
    )


def leave_empty(folder: Path) -> None:
    """An experiment that starts from its backbone takes nothing along."""


def dataset_of(store: Store, config: ExperimentConfig) -> DatasetRecord:
    """The data set of a config, with its files.

    Raises:
        UserError: none is chosen, or it is gone.
    """
    found = store.datasets.find(config.dataset_id) if config.dataset_id else None
    if found is None:
        what = "The data set of this config is not there." if config.dataset_id else "No data set is chosen."
        raise UserError(what, where="dataset_id", fix="Choose a data set, or import one first.")
    if not store.home.dataset(found.id).is_dir():
        raise UserError(
            f"The files of the data set {found.name} are gone.",
            where=str(store.home.dataset(found.id)),
            fix="Import the data again.",
        )
    return found


def facts_of(store: Store, config: ExperimentConfig) -> BackboneFacts:
    """What is known of the backbone of a config.

    Raises:
        UserError: it cannot be used: wrong name, gated, offline, code of its own.
    """
    return check_backbone(
        config.llm_backbone,
        revision=config.environment.huggingface_branch,
        token=store.secrets.get("huggingface_token"),
        trust_remote_code=config.environment.trust_remote_code,
    )


def refuse_errors(findings: tuple[Finding, ...]) -> None:
    """Raise one UserError that holds all findings that are errors; none when there is none."""
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise UserError(
            " ".join(finding.what for finding in errors),
            where=", ".join(dict.fromkeys(finding.path for finding in errors)),
            fix=" ".join(finding.fix for finding in errors if finding.fix),
        )


def needed_bytes(config: ExperimentConfig, facts: BackboneFacts, *, merged: bool = False) -> int:
    """What the experiment will write: the download, checkpoints (small with LoRA) and predictions; and a backbone of
    its own when it starts from a merged one."""
    trained = 0 if config.training.lora else facts.parameters * BYTES_PER_TRAINED_WEIGHT
    own = facts.parameters * BYTES_PER_MERGED_WEIGHT if merged else 0
    return SPARE_BYTES + facts.download_bytes + trained + own


def check_disk(folder: Path, needed: int) -> None:
    """Raise a UserError when the disk of the studio's home is too full."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"The disk has {free / 1e9:.1f} GB free; this experiment needs about {needed / 1e9:.1f} GB.",
            where=str(folder),
            fix="Delete experiments or data sets you no longer need, or tune with LoRA.",
        )


def stop_experiment(store: Store, experiment_id: str) -> ExperimentRecord:
    """A waiting one ends at once; a running one saves a checkpoint and ends after the current micro-batch."""
    return store.experiments.request_stop(experiment_id)


def has_checkpoint(store: Store, experiment_id: str) -> bool:
    """Whether it has weights that can be used: for chat, for export, to start another one from."""
    checkpoints = store.home.experiment(experiment_id) / "checkpoints"
    return any((checkpoints / name).is_dir() for name in ("best", "last"))


def can_continue(store: Store, record: ExperimentRecord) -> bool:
    """Whether an ended experiment has a state to go on from, or added epochs that begin with its last weights."""
    folder = store.home.experiment(record.id)
    added = bool(read_rounds(folder)) and (folder / "checkpoints" / "last").is_dir()
    return record.status in ("stopped", "failed") and (added or (folder / "checkpoints" / "resume").is_dir())


def continue_experiment(store: Store, experiment_id: str) -> ExperimentRecord:
    """Put a stopped or failed experiment into the queue again; it goes on from its last checkpoint.

    Raises:
        UserError: it is running, has finished, or has no checkpoint.
    """
    record = store.experiments.get(experiment_id)
    if not can_continue(store, record):
        what = {
            "queued": "The experiment is waiting already.",
            "running": "The experiment is running already.",
            "finished": "The experiment has finished.",
        }.get(record.status, "The experiment has no checkpoint to go on from.")
        fix = "Restart it from its beginning." if record.status in ("stopped", "failed") else ""
        raise UserError(what, where=record.name, fix=fix)
    check_disk(store.home.path, SPARE_BYTES)
    return store.experiments.requeue(experiment_id, "Goes on from its last checkpoint.", at_the_end=True)


def restart_experiment(store: Store, experiment_id: str) -> ExperimentRecord:
    """Run an ended experiment again from its beginning; what it had made is removed.

    Raises:
        UserError: it waits or runs.
    """
    record = store.experiments.get(experiment_id)
    if record.status in ("queued", "running"):
        raise UserError(f"The experiment is {record.status}.", where=record.name, fix="Stop it first.")
    check_disk(store.home.path, SPARE_BYTES)
    folder = store.home.experiment(experiment_id)
    for name in ("checkpoints", "predictions", "export"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("log.txt", BEGUN_FILE, SEED_FILE):
        (folder / name).unlink(missing_ok=True)
    write_rounds(folder, ())
    store.experiments.reset(experiment_id)
    return store.experiments.requeue(experiment_id, "", at_the_end=True)


def rename_experiment(store: Store, experiment_id: str, name: str) -> ExperimentRecord:
    """Give it another name, at any time: folders are named by id.

    Raises:
        UserError: the name is empty, too long or taken.
    """
    return store.experiments.rename(experiment_id, name)


@dataclass(frozen=True)
class Leavings:
    """What goes with an experiment when it is deleted."""

    checkpoints: int
    evaluations: int
    exports: int
    chats: int
    size_bytes: int


def leavings(store: Store, experiment_id: str) -> Leavings:
    """What deleting the experiment would remove."""
    folder = store.home.experiment(experiment_id)
    return Leavings(
        checkpoints=sum(1 for path in folder.glob("checkpoints/*") if path.name in ("best", "last")),
        evaluations=sum(1 for _ in folder.glob("predictions/*.parquet")),
        exports=sum(1 for _ in folder.glob("export/*.zip")),
        chats=len(store.chats.list(experiment_id)),
        size_bytes=size_of(folder),
    )


def size_of(folder: Path) -> int:
    """Bytes that come free with a folder: files that another folder holds too, or that go away meanwhile, count
    nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
            total += found.st_size if found.st_nlink == 1 and not path.is_dir() else 0
        except FileNotFoundError:
            continue
    return total


def delete_experiment(store: Store, experiment_id: str) -> None:
    """Remove it with its checkpoints, charts, predictions, exports and chats.

    Raises:
        UserError: it is running, or a chat or an export uses it.
    """
    record = store.experiments.get(experiment_id)
    if store.jobs.list(subject=experiment_id, active=True):
        raise UserError("An export of it is being made.", where=record.name, fix="Wait for the export or cancel it.")
    for server in store.servers.list(active=True, experiment_id=experiment_id):
        store.servers.request_stop(server.id)
    store.experiments.delete(experiment_id)
    store.chats.delete_of(experiment_id)
    folder = store.home.experiment(experiment_id)
    forget_curves(folder)
    shutil.rmtree(folder, ignore_errors=True)


def config_of(store: Store, experiment_id: str) -> ExperimentConfig:
    """The config of an experiment as it was started.

    Raises:
        UserError: the file is gone or damaged.
    """
    return from_yaml(config_text(store, experiment_id)).config


def config_text(store: Store, experiment_id: str) -> str:
    """The YAML file of an experiment.

    Raises:
        UserError: the file is gone.
    """
    path = store.home.experiment(store.experiments.get(experiment_id).id) / "config.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            "The config of this experiment cannot be read.", where=str(path), fix="Start a new one."
        ) from error


def new_from(store: Store, experiment_id: str) -> ExperimentConfig:
    """The config for another experiment like this one, with a name that is free."""
    config = config_of(store, experiment_id)
    name = store.experiments.free_name(store.experiments.get(experiment_id).name)
    return config.with_changes({"experiment_name": name})
