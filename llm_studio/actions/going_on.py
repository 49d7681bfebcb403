"""More epochs for an experiment that has ended: it goes on from its last weights, in a round of its own.

The optimiser starts anew, and the learning rate is planned anew over the added epochs, with its warm-up; so nothing
but the weights has to be kept of an experiment that has ended. Charts, scores and checkpoints go on where they were.
"""

import math
import shutil

from llm_studio.actions.experiments import SPARE_BYTES, check_disk, config_of
from llm_studio.config import ExperimentConfig, settings_by_path, to_yaml
from llm_studio.errors import UserError
from llm_studio.modeling.origin import read_origin
from llm_studio.store import ExperimentRecord, Store
from llm_studio.store.rounds import Round, read_rounds, write_rounds

EPOCHS = "training.epochs"


def can_train_more(store: Store, record: ExperimentRecord) -> bool:
    """Whether it has ended in good order, with weights to go on from."""
    last = store.home.experiment(record.id) / "checkpoints" / "last"
    return record.status in ("finished", "stopped") and last.is_dir()


def how_far(store: Store, record: ExperimentRecord) -> tuple[int, float]:
    """Optimiser steps and epochs that its last weights have seen."""
    folder = store.home.experiment(record.id)
    origin = read_origin(folder / "checkpoints" / "last")
    if origin is not None:
        return origin.step, origin.epoch
    step = (record.scores.get("last") or {}).get("step")  # a checkpoint of an earlier studio
    return int(step or 0), float(config_of(store, record.id).training.epochs)


def more_epochs(store: Store, experiment_id: str, epochs: int) -> ExperimentRecord:
    """Put it into the queue for that many epochs more.

    Raises:
        UserError: it waits, runs or has failed; it has no weights to go on from; too many epochs; the disk is full.
    """
    record = store.experiments.get(experiment_id)
    if not can_train_more(store, record):
        raise no_more(record)
    config = config_of(store, record.id)
    step, epoch = how_far(store, record)
    added = Round(step, epoch, epochs)
    most = int(settings_by_path()[EPOCHS].maximum or 1000)
    if epochs < 1 or added.end > most:
        raise UserError(
            f"{epochs} epochs cannot be added: with them it would be {added.end:g}.",
            where=EPOCHS,
            fix=f"Add at least 1; all epochs together are at most {most:,}.",
        )
    check_disk(store.home.path, SPARE_BYTES)
    folder = store.home.experiment(record.id)
    before = [one for one in read_rounds(folder) if one.step < step]
    shutil.rmtree(folder / "checkpoints" / "resume", ignore_errors=True)  # it belongs to the plan that has ended
    write_rounds(folder, [*before, added])
    beside = folder / "config.yaml.part"
    beside.write_text(to_yaml(config.with_changes({EPOCHS: math.ceil(added.end)})), encoding="utf-8")
    beside.replace(folder / "config.yaml")
    store.experiments.update(record.id, progress=epoch / added.end)
    return store.experiments.requeue(record.id, f"Adds {plural_epochs(epochs)}.", at_the_end=True)


def no_more(record: ExperimentRecord) -> UserError:
    """Why it gets no more epochs."""
    what, fix = {
        "queued": ("The experiment is waiting already.", "Wait until it has ended."),
        "running": ("The experiment is running.", "Wait until it has ended, or stop it first."),
        "failed": ("The experiment has failed.", "Continue it from its last checkpoint, or restart it."),
    }.get(record.status, ("The experiment has no weights to go on from.", "Restart it from its beginning."))
    return UserError(what, where=record.name, fix=fix)


def plural_epochs(epochs: int) -> str:
    """ "1 epoch", "3 epochs"."""
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def schedule_words(config: ExperimentConfig, epochs: int | None) -> str:
    """What optimiser and learning rate do in added epochs, in two sentences. epochs None: not decided yet."""
    training = config.training
    peak, warm_up = f"{training.learning_rate:g}", training.warmup_epochs
    rises = f"rises to {peak} over the first {warm_up:g} of an epoch" if warm_up else f"begins at {peak}"
    added = "the added epochs" if epochs is None else plural_epochs(epochs)
    falls = "stays there" if training.schedule == "Constant" else f"falls ({training.schedule.lower()})"
    return (
        f"The learning rate is planned anew over {added}: it {rises}, then {falls}. "
        "The optimiser starts anew; weights, charts and scores go on."
    )
