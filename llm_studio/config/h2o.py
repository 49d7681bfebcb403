"""Reads a config that H2O LLM Studio wrote: what is taken over, renamed, replaced by our own default, or not known."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from llm_studio.config.dataset_settings import DatasetSettings
from llm_studio.config.declarations import settings_by_path
from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.making import SettingsError, validated

# Their names of values, and ours. A value that is not here keeps its name.
RENAMED_VALUES: dict[str, dict[str, Any]] = {
    "prediction.metric": {"Perplexity": "perplexity", "BLEU": "bleu", "GPT": "gpt"},
    "training.save_checkpoint": {"best": "best_and_last"},
}
# Values that mean something we do differently: what is used instead, and why.
REPLACED_VALUES: dict[tuple[str, str], tuple[Any, str]] = {
    ("prediction.metric_gpt_template", "mt-bench"): (
        "general",
        "its 80 fixed questions are not asked; the validation rows are judged by the prompt 'general'",
    ),
    ("training.save_checkpoint", "disable"): ("last", "the last state is always kept, so that nothing trained is lost"),
    ("training.save_checkpoint", "each_evaluation_epoch"): (
        "best_and_last",
        "only the best and the last checkpoint are kept",
    ),
}
# Settings whose value is about another machine, or a promise that we keep in another way.
REPLACED: dict[str, str] = {
    "environment.gpus": "devices of another machine; the device is chosen here",
    "environment.trust_remote_code": "code from a model's repository stays off; turn it on here for a model you trust",
    "logging.logger": "trackers are not built yet; charts are always written here",
}
# Settings that we do not have, by path or section prefix, with what is used instead.
FOREIGN: dict[str, str] = {
    "environment.use_deepspeed": "DeepSpeed is not used; one device trains an experiment",
    "environment.deepspeed_": "DeepSpeed is not used; one device trains an experiment",
    "environment.find_unused_parameters": "not needed: every trained weight takes part in each step",
    "logging.neptune_project": "Neptune is not supported",
    "logging.number_of_texts": "every validation row is kept",
    "dataset.num_classes": "belongs to classification",
    "dataset.rejected_": "belongs to preference tuning",
    "dataset.dataset_class": "follows from the problem type",
    "training.beta": "belongs to preference tuning",
    "training.simpo_gamma": "belongs to preference tuning",
    "training.drop_last_batch": "the last batch of an epoch is used, even when it is small",
    "training.loss_class": "follows from the loss function",
    "architecture.model_class": "follows from the problem type",
    "architecture.pretrained": "tuning always starts from pretrained weights",
    "prediction.metric_class": "follows from the metric",
    "logging.logger_class": "follows from the tracker",
    "output_directory": "the studio keeps its files in its own home",
}
ESCAPED = frozenset(
    {"prompt_column_separator", "text_system_start", "text_prompt_start", "text_answer_separator"}
)  # written with backslash and letter for line breaks
MARKERS = frozenset({"dataset.text_system_start", "dataset.text_prompt_start", "dataset.text_answer_separator"})
DATASET_SETTINGS = frozenset(DatasetSettings.model_fields)
PROBLEM_TYPES = {"text_causal_language_modeling": "causal_lm"}


@dataclass
class Reading:
    """What the lines of a foreign config became; the four lists hold sentences."""

    changes: dict[str, Any] = field(default_factory=dict)
    dataset_settings: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def is_foreign(document: Mapping[str, Any]) -> bool:
    """Whether the document has what only H2O LLM Studio writes: columns in it, its problem types, its own settings."""
    if str(document.get("problem_type", "")).startswith("text_"):
        return True
    for path, _ in _lines(document):
        section, _, name = path.rpartition(".")
        if (section == "dataset" and name in DATASET_SETTINGS) or _why_foreign(path):
            return True
    return False


def read(document: Mapping[str, Any]) -> Reading:
    """Sort every line of the document; nothing is refused."""
    reading = Reading()
    for path, value in _lines(document):
        section, _, name = path.rpartition(".")
        if section == "dataset" and name in DATASET_SETTINGS:
            _dataset_setting(reading, name, value)
        elif path == "problem_type":
            _problem_type(reading, value)
        elif path in settings_by_path():
            _setting(reading, path, _unescaped(value) if name in ESCAPED else value)
        elif reason := _why_foreign(path):
            reading.replaced.append(f"{path} = {value!r}: {reason}")
        else:
            reading.unknown.append(f"{path} = {value!r}")
    if MARKERS & set(reading.changes):
        reading.changes["dataset.chat_template"] = "markers"
        reading.renamed.append(
            "dataset.text_*: these markers are used as in the file (dataset.chat_template is 'markers'); "
            "set it to 'backbone' to take the backbone's own chat template"
        )
    if "tokenizer.max_length" in reading.changes or way_of_cutting(reading.changes):
        reading.changes["tokenizer.truncation"] = "cut"
        reading.renamed.append(
            "tokenizer.max_length: longer rows are cut, as H2O LLM Studio does (tokenizer.truncation is 'cut'); "
            "set it to 'oldest_turns' to keep prompts and answers whole"
        )
    return reading


def way_of_cutting(changes: Mapping[str, Any]) -> dict[str, Any]:
    """For a file that names a side to cut at but not what happens to long rows: it was written when they were always
    cut by this studio."""
    sided = "tokenizer.truncation_side" in changes and "tokenizer.truncation" not in changes
    return {"tokenizer.truncation": "cut"} if sided else {}


def _lines(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            for inner, part in value.items():
                yield f"{name}.{inner}", tuple(part) if isinstance(part, list) else part
        else:
            yield str(name), tuple(value) if isinstance(value, list) else value


def _why_foreign(path: str) -> str:
    return next(
        (why for name, why in FOREIGN.items() if path == name or (name.endswith("_") and path.startswith(name))), ""
    )


def _problem_type(reading: Reading, value: Any) -> None:
    ours = PROBLEM_TYPES.get(str(value), str(value))
    if ours not in settings_by_path()["problem_type"].choices:
        reading.replaced.append(f"problem_type = {value!r}: only causal language modelling is built yet")
    elif ours == value:
        reading.taken.append(f"problem_type = {value!r}")
    else:
        reading.renamed.append(f"problem_type: {value!r} is {ours!r} here")


def _dataset_setting(reading: Reading, name: str, value: Any) -> None:
    """Columns, files and split go to the data set."""
    path = f"dataset.{name}"
    empty = value in (None, "None", "")
    ours: Any = value
    if name == "prompt_column":
        ours = value if isinstance(value, tuple) else () if empty else (str(value),)
    elif name == "answer_column" and isinstance(value, tuple):
        ours = value[0] if value else ""
    elif empty:
        ours = DatasetSettings.model_fields[name].get_default()
    elif name in ESCAPED:
        ours = _unescaped(value)
    try:
        made = DatasetSettings.model_validate({name: ours})
    except ValidationError:
        default = DatasetSettings.model_fields[name].get_default()
        reading.replaced.append(f"{path} = {value!r}: does not fit; {default!r} is used")
        return
    reading.dataset_settings[name] = getattr(made, name)
    if name == "parent_id_column" and not empty:
        reading.dataset_settings["layout"] = "threads"
    reading.taken.append(f"{path} = {value!r} (for the data set)")


def _setting(reading: Reading, path: str, value: Any) -> None:
    info = settings_by_path()[path]
    if value is None and info.kind in ("str", "multi"):
        value = info.default
    text = value if isinstance(value, str) else ""
    if (path, text) in REPLACED_VALUES:
        ours, why = REPLACED_VALUES[path, text]
        reading.replaced.append(f"{path} = {value!r}: {why}")
        if ours is not None:
            reading.changes[path] = ours
    elif text in RENAMED_VALUES.get(path, {}):
        reading.changes[path] = RENAMED_VALUES[path][text]
        reading.renamed.append(f"{path}: {value!r} is {reading.changes[path]!r} here")
    elif path in REPLACED and value != info.default:
        reading.replaced.append(f"{path} = {value!r}: {REPLACED[path]}")
    elif problem := _problem(path, value):
        reading.replaced.append(f"{path} = {value!r}: {problem}; {info.default!r} is used")
    else:
        reading.changes[path] = value
        reading.taken.append(f"{path} = {value!r}")


def _problem(path: str, value: Any) -> str:
    """Why our own setting does not take this value; empty when it does."""
    info = settings_by_path()[path]
    try:
        validated(ExperimentConfig(), {path: value})
    except SettingsError:
        if info.status == "coming":
            return "not built yet"
        return f"takes {info.limits or info.kind}"
    return ""


def _unescaped(value: Any) -> str:
    """Line breaks and tabs that are written as a backslash with a letter; everything else stays."""
    letters = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
    return re.sub(r"\\[ntr]", lambda found: letters[found.group()], str(value))
