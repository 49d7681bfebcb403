"""What an experiment starts from: its backbone, another experiment's weights, or its own for more epochs.

See actions/starting_from.py for what lies in the experiment's folder before its process begins.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file

from llm_studio.actions.experiments import BEGUN_FILE
from llm_studio.actions.going_on import schedule_words
from llm_studio.actions.starting_from import START, start_words
from llm_studio.config import BackboneFacts, ExperimentConfig
from llm_studio.config.memory import Needs
from llm_studio.errors import UserError
from llm_studio.modeling.adapter_start import take_out_first
from llm_studio.modeling.backbones import check_backbone, folder_of
from llm_studio.modeling.devices import Choice
from llm_studio.modeling.further_file import file_of, fingerprint
from llm_studio.modeling.loading import (
    OWN_BACKBONE,
    checkpoint_of,
    experiment_config,
    load_model,
    load_tokenizer,
    standing_alone,
)
from llm_studio.modeling.merging import merged_dtype, merged_model
from llm_studio.modeling.origin import read_origin, refuse_other_weights, weights_fingerprint
from llm_studio.store import ExperimentRecord, Store
from llm_studio.store.rounds import Round
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Event, Listener, StepDone
from llm_studio.training.plan import Plan
from llm_studio.worker.job_reporting import Reporter

ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True)
class Begun:
    """With what an experiment began, so that it goes on with the same. fingerprint: of the backbone's weights.
    generated_rows: that get an answer at each evaluation; 0 in what an older studio wrote."""

    dtype: str
    fingerprint: str
    generated_rows: int = 0


def read_begun(folder: Path) -> Begun | None:
    """None before it has begun."""
    try:
        return Begun(**json.loads((folder / BEGUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_begun(folder: Path, begun: Begun) -> None:
    """Kept beside the config."""
    (folder / BEGUN_FILE).write_text(json.dumps(asdict(begun)) + "\n", encoding="utf-8")


def fingerprint_of(config: ExperimentConfig) -> str:
    """Of the backbone's weights as they lie on this machine, and of the file that is laid over them.

    Raises:
        UserError: that file is gone.
    """
    folder = folder_of(config.llm_backbone, config.environment.huggingface_branch)
    found = "" if folder is None else weights_fingerprint(folder)
    further = file_of(config)
    return found if further is None else f"{found}+{fingerprint(further)}"


def source_words(store: Store, record: ExperimentRecord) -> str:
    """What it starts from, in words; empty for the backbone."""
    if record.continued_from is None:
        return ""
    source = store.experiments.find(record.continued_from)
    return start_words(record, source.name if source else "an experiment that was deleted")


def merge_start(
    store: Store, record: ExperimentRecord, config: ExperimentConfig, facts: BackboneFacts, reporter: Reporter
) -> tuple[ExperimentConfig, BackboneFacts]:
    """Config and facts of the backbone that the experiment trains: when it starts from a merged model, that one, which
    is made at its first start and kept in its folder.

    Raises:
        UserError: the backbone's weights are not those that the adapter was trained on.
    """
    folder = store.home.experiment(record.id)
    own, start = folder / OWN_BACKBONE, folder / START
    if record.continued_what == "merged" and not (own / "config.json").is_file():
        reporter.phase("Merging the adapter to start from into the backbone")
        source = experiment_config(start)
        checkpoint = checkpoint_of(start, record.continued_which or "best")
        said = refuse_other_weights(
            read_origin(checkpoint),
            fingerprint_of(source),
            backbone=config.llm_backbone,
            of=source_words(store, record),
        )
        if said:
            reporter.note(said)
        dtype = merged_dtype("auto", "float32", facts.parameters, str(folder_of(source.llm_backbone) or ""))
        model = merged_model(start, record.continued_which or "best", dtype, reporter.detail)
        beside = folder / f"{OWN_BACKBONE}.part"
        shutil.rmtree(beside, ignore_errors=True)
        model.config.use_cache = True
        model.save_pretrained(str(beside))
        load_tokenizer(source, checkpoint).save_pretrained(str(beside))
        beside.rename(own)
        reporter.note(f"The adapter was merged into the backbone in {dtype}; this experiment trains on the result.")
    if not (own / "config.json").is_file():
        return config, facts
    config = standing_alone(config, own)
    return config, check_backbone(str(own), trust_remote_code=config.environment.trust_remote_code)


@dataclass(frozen=True)
class Start:
    """weights: the checkpoint whose weights are taken over; None for those of the backbone. words: what it starts from.
    going_on: it was trained before. begun: with what, then. own: the weights are the experiment's own."""

    weights: Path | None
    words: str
    going_on: bool
    begun: Begun | None
    own: bool

    @property
    def is_whole(self) -> bool:
        """Whether it starts from all weights of a model, not from a backbone with or without an adapter."""
        return self.weights is not None and not is_adapter(self.weights)

    def adapter_settings(self, config: ExperimentConfig) -> ExperimentConfig:
        """An adapter that is taken over is not first set to anything clever."""
        if self.weights is None:
            return config
        return config.with_changes({"training.init_lora_weights": "default"})


def find_start(
    store: Store, record: ExperimentRecord, folder: Path, rounds: Sequence[Round], *, going_on: bool
) -> Start:
    """Its own last weights for more epochs, the adapter of the experiment it starts from, or its backbone.

    going_on: it was trained before, and is to end as it began.

    Raises:
        UserError: the weights are gone.
    """
    begun = read_begun(folder) if going_on else None
    if rounds:
        return Start(checkpoint_of(folder, "last"), "this experiment", True, begun, own=True)
    words = source_words(store, record)
    if record.continued_what == "adapter":
        weights = checkpoint_of(folder / START, record.continued_which or "best")
        return Start(weights, words, going_on, begun, own=False)
    return Start(None, words or "the untouched backbone", going_on, begun, own=False)


def check_weights(start: Start, config: ExperimentConfig, reporter: Reporter) -> str:
    """The fingerprint of the backbone's weights, once it is known that what was trained on it still belongs to it.

    Raises:
        UserError: the weights are others than those it began with, or than those the checkpoint was trained on.
    """
    found, begun = fingerprint_of(config), start.begun
    if begun is not None and begun.fingerprint and found and begun.fingerprint != found:
        raise UserError(
            f"The weights of the backbone {config.llm_backbone} have changed since this experiment began.",
            where=f"backbone {config.llm_backbone}",
            fix="Put its files back as they were, or restart the experiment from its beginning.",
        )
    if start.weights is not None and is_adapter(start.weights) and not (start.own and begun is not None):
        said = refuse_other_weights(read_origin(start.weights), found, backbone=config.llm_backbone, of=start.words)
        if said:
            reporter.note(said)
    return found


def load_to_train(start: Start, config: ExperimentConfig, device: str, needed: Needs) -> tuple[Any, Choice]:
    """The backbone, or the weights trained in full that go on, in the number type it began with.

    Raises:
        UserError: it cannot be loaded, or there is not enough memory for it.
    """
    wanted = config.architecture.backbone_dtype
    if start.begun is not None:
        config = config.with_changes({"architecture.backbone_dtype": start.begun.dtype})
    if start.is_whole:
        config = standing_alone(config, Path(start.weights or ""))
    model, dtype = load_model(config, device=device, needed=needed, trains=True)
    if start.begun is not None and wanted == "auto":
        dtype = Choice(dtype.value, "as it began")
    return model, dtype


def is_adapter(checkpoint: Path) -> bool:
    """Whether a checkpoint holds an adapter, not the weights of a whole model."""
    return (checkpoint / ADAPTER).is_file()


def take_weights(model: Any, checkpoint: Path, of: str, *, pissa: bool = False) -> None:
    """Put the adapter of a checkpoint in place of the new one of `model`. pissa: it began so, and goes on so.

    Raises:
        UserError: it is on other layers or of another rank; nothing is taken over then.
    """
    kept = load_file(checkpoint / ADAPTER)
    if pissa:
        kept = take_out_first(model, kept)
    there = get_peft_model_state_dict(model, save_embedding_layers=False)
    new, gone = sorted(there.keys() - kept.keys()), sorted(kept.keys() - there.keys())
    if new or gone:
        more = f"{len(gone)} of its matrices have no place here, such as {gone[0]}" if gone else ""
        less = f"{len(new)} have none to start from, such as {new[0]}" if new else ""
        raise UserError(
            f"The weights of {of} are on other layers: {'; '.join(filter(None, (more, less)))}.",
            where="training.lora_target_modules",
            fix="Set LoRA target modules as they were there.",
        )
    for name, weight in kept.items():
        if weight.shape != there[name].shape:
            raise UserError(
                f"The weights of {of} have another shape: {name} is {tuple(weight.shape)}, here "
                f"{tuple(there[name].shape)}.",
                where="training.lora_r",
                fix="Set the LoRA rank as it was there.",
            )
    set_peft_model_state_dict(model, kept)


def config_of_round(config: ExperimentConfig, rounds: Sequence[Round]) -> ExperimentConfig:
    """The config the trainer works by: of added epochs only those, in an order of rows that no earlier round had."""
    if not rounds:
        return config
    seed = (config.environment.seed + len(rounds)) % 2**31
    return config.with_changes({"training.epochs": rounds[-1].epochs, "environment.seed": seed})


def round_words(config: ExperimentConfig, rounds: Sequence[Round]) -> str:
    """What added epochs begin with, and what happens to the learning rate; empty for a first round."""
    if not rounds:
        return ""
    now = rounds[-1]
    return (
        f"Goes on from step {now.step:,}, epoch {now.epoch:g}, to epoch {now.end:g}. "
        f"{schedule_words(config, now.epochs)}"
    )


def moved(plan: Plan, rounds: Sequence[Round]) -> Plan:
    """The plan of added epochs, its steps counted from the experiment's beginning."""
    if not rounds:
        return plan
    begin = rounds[-1].step
    due = frozenset(step + begin for step in plan.evaluations)
    return replace(plan, steps=plan.steps + begin, evaluations=due)


def listening_from(rounds: Sequence[Round], listen: Listener) -> Listener:
    """A listener that hears steps and epochs counted from the experiment's beginning."""
    if not rounds:
        return listen
    now = rounds[-1]

    def hear(event: Event) -> bool | None:
        if isinstance(event, StepDone):
            event = replace(
                event, step=event.step + now.step, steps=event.steps + now.step, epoch=event.epoch + now.epoch
            )
        elif isinstance(event, EvaluationDue):
            event = replace(event, step=event.step + now.step, epoch=event.epoch + now.epoch)
        elif isinstance(event, CheckpointSaved):
            event = replace(event, step=event.step + now.step)
        return listen(event)

    return hear
