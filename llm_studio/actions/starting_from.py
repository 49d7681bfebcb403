"""A new experiment from another one: from its adapter, or from its weights merged into the backbone.

What is needed of the other one is put into the new one's folder before it waits in the queue, laid out like an
experiment of its own; so the other one may be trained further or deleted meanwhile.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_studio.config import ExperimentConfig, Finding, flatten, from_yaml, settings_by_path
from llm_studio.errors import UserError
from llm_studio.modeling.facts import read_json
from llm_studio.modeling.origin import Origin, read_origin
from llm_studio.store import ExperimentRecord, Store

What = Literal["adapter", "merged"]
Which = Literal["best", "last"]
CONFIG, CHECKPOINTS, START, BACKBONE = "config.yaml", "checkpoints", "start", "backbone"
ADAPTER_CONFIG = "adapter_config.json"
SHAPE = {"lora_r": "r", "lora_alpha": "lora_alpha", "use_dora": "use_dora", "use_rslora": "use_rslora"}
"""What of an adapter must be the same, by its setting and its name in the adapter's own file."""


@dataclass(frozen=True)
class Start:
    """Where a new experiment takes its weights from."""

    experiment_id: str
    what: What
    which: Which


@dataclass(frozen=True)
class Offer:
    """A start that there is, with how far its weights were trained, where that is known."""

    start: Start
    is_adapter: bool
    origin: Origin | None


def offers(store: Store, experiment_id: str) -> tuple[Offer, ...]:
    """The starts that an experiment offers: adapter or merged, best or last; none without a checkpoint. The best and
    the last are one offer when they are the same step."""
    folder = store.home.experiment(experiment_id)
    checkpoints: dict[Which, Path] = {}
    for which in ("best", "last"):
        path = folder / CHECKPOINTS / which
        if (path / ADAPTER_CONFIG).is_file() or (path / "config.json").is_file():
            checkpoints[which] = path
    origins = {which: read_origin(path) for which, path in checkpoints.items()}
    if len(origins) == 2 and origins["best"] is not None and origins["best"] == origins["last"]:
        del checkpoints["last"]
    found = []
    for what in ("adapter", "merged"):
        for which, path in checkpoints.items():
            is_adapter = (path / ADAPTER_CONFIG).is_file()
            if is_adapter or what == "merged":
                found.append(Offer(Start(experiment_id, what, which), is_adapter, origins[which]))
    return tuple(found)


def checkpoint_of_start(store: Store, start: Start) -> Path:
    """The folder of the weights; "best" falls back to "last", as everywhere.

    Raises:
        UserError: there is no such experiment, or it has no checkpoint.
    """
    record = store.experiments.get(start.experiment_id)
    for which in dict.fromkeys((start.which, "last", "best")):
        path = store.home.experiment(record.id) / CHECKPOINTS / which
        if (path / ADAPTER_CONFIG).is_file() or (path / "config.json").is_file():
            return path
    raise UserError(
        "The experiment to start from has no checkpoint.",
        where=f"experiment {record.name}",
        fix="Choose one that has finished.",
    )


def start_words(record: ExperimentRecord, name: str) -> str:
    """ "the adapter of first (best checkpoint)", or "the model of" it when it was merged; empty for a backbone.

    name: of the experiment it starts from.
    """
    if record.continued_from is None:
        return ""
    which = f"{record.continued_which or 'best'} checkpoint"
    return f"the {'model' if record.continued_what == 'merged' else 'adapter'} of {name} ({which})"


def start_findings(store: Store, config: ExperimentConfig, start: Start) -> Iterator[Finding]:
    """What stands in the way of this start, setting by setting.

    Raises:
        UserError: the experiment to start from is gone, has no checkpoint, or its config cannot be read.
    """
    checkpoint = checkpoint_of_start(store, start)
    record = store.experiments.get(start.experiment_id)
    source = from_yaml((store.home.experiment(record.id) / CONFIG).read_text(encoding="utf-8")).config
    for path in ("llm_backbone", "environment.huggingface_branch", "architecture.pretrained_weights"):
        if config.get(path) != source.get(path):
            there, here = source.get(path) or "the backbone alone", config.get(path) or "the backbone alone"
            what = f"{record.name} was trained on {there}, not on {here}."
            fix = f"Set it to {source.get(path) or 'nothing'}, or start from the backbone."
            yield Finding("error", path, what, fix)
    if start.what == "adapter":
        yield from adapter_findings(config, source, checkpoint, record.name)
    yield from text_findings(config, source, record.name)


def adapter_findings(
    config: ExperimentConfig, source: ExperimentConfig, checkpoint: Path, name: str
) -> Iterator[Finding]:
    """Where the adapter of this config would have another shape, or another effect, than the one it starts from."""
    if not (checkpoint / ADAPTER_CONFIG).is_file():
        what = f"{name} was trained in full, so it has no adapter."
        yield Finding("error", "training.lora", what, f"Start from {name} merged into the backbone.")
        return
    merge = f"or start from {name} merged into the backbone: then the adapter is a new one."
    if not config.training.lora:
        what = f"The adapter of {name} can only be trained further with LoRA."
        yield Finding("error", "training.lora", what, f"Turn LoRA on, {merge}")
        return
    kept = read_json(checkpoint / ADAPTER_CONFIG)
    infos = settings_by_path()
    for setting, key in SHAPE.items():
        wanted, there = getattr(config.training, setting), kept.get(key)
        if there is not None and wanted != there:
            title = infos[f"training.{setting}"].title
            what = f"The adapter of {name} has {title} {spelled(there)}, this experiment {spelled(wanted)}."
            yield Finding("error", f"training.{setting}", what, f"Set it to {spelled(there)}, {merge}")
    path = "tokenizer.add_prompt_answer_tokens"
    if config.get(path) != source.get(path):
        what = f"The adapter of {name} was learned {'with' if source.get(path) else 'without'} markers as tokens."
        yield Finding("error", path, what, f"Turn it {'on' if source.get(path) else 'off'}, {merge}")
    for setting in ("lora_target_modules", "lora_unfreeze_layers"):
        wanted, there = names(getattr(config.training, setting)), names(getattr(source.training, setting))
        if wanted != there:
            what = f"The adapter of {name} is on {layers(there)}, that of this experiment on {layers(wanted)}."
            yield Finding("error", f"training.{setting}", what, f"Set it to the same, {merge}")


def text_findings(config: ExperimentConfig, source: ExperimentConfig, name: str) -> Iterator[Finding]:
    """A warning for each setting of the conversations' text that is another one than the weights have learned."""
    before, infos = flatten(source), settings_by_path()
    for path, value in flatten(config).items():
        if path.startswith("dataset.") and value != before[path] and infos[path].status == "ready":
            what = f"{infos[path].title} is not as {name} has learned it, so some of that is unlearned first."
            yield Finding("warning", path, what, f"{name} has {spelled(before[path])}.")


def spelled(value: object) -> str:
    """A value in a sentence."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value) or "empty"


def names(value: object) -> frozenset[str]:
    """Layer names, however they are written."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return frozenset(str(part).strip() for part in parts if str(part).strip())


def layers(found: frozenset[str]) -> str:
    """Layer names in a sentence."""
    return ", ".join(sorted(found)) or "the layers that are taken by default"


def take_along(store: Store, start: Start) -> Callable[[Path], None]:
    """What puts the weights to start from into the folder of the new experiment.

    Raises:
        UserError: there is nothing to start from.
    """
    checkpoint = checkpoint_of_start(store, start)
    source = store.home.experiment(start.experiment_id)
    in_full = not (checkpoint / ADAPTER_CONFIG).is_file()
    own = source / BACKBONE

    def fill(folder: Path) -> None:
        if in_full:
            copy(checkpoint, folder / BACKBONE)
            return
        copy(checkpoint, folder / START / CHECKPOINTS / start.which)
        shutil.copyfile(source / CONFIG, folder / START / CONFIG)
        if own.is_dir():
            copy(own, folder / BACKBONE if start.what == "adapter" else folder / START / BACKBONE)

    return fill


def copy(source: Path, target: Path) -> None:
    """The files of a folder: the same bytes on the disk where the file system can do that, since they never change."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copyfile(file, target / file.name)
