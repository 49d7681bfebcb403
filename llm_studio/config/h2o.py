"""Reads a config that H2O LLM Studio wrote: what is taken over, renamed, replaced by our own default, or not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_studio.config.dataset_settings import DatasetSettings
from llm_studio.config.declarations import settings_by_path

RENAMED_VALUES: dict[str, dict[Any, Any]] = {
    "prediction.metric": {"Perplexity": "perplexity", "BLEU": "bleu"},
    "training.save_checkpoint": {"best": "best_and_last", "each_evaluation_epoch": "best_and_last", "disable": "last"},
    "environment.mixed_precision_dtype": {"bfloat16": "bfloat16", "float16": "float16"},
}
REPLACED: dict[str, str] = {
    "prediction.metric": "a judge model is not built yet; perplexity chooses the best checkpoint",
    "environment.gpus": "devices of another machine; one device is chosen here",
    "environment.use_deepspeed": "DeepSpeed is not used",
    "environment.find_unused_parameters": "one device is used",
    "environment.trust_remote_code": "code from a model's repository stays off; turn it on here for a model you trust",
    "training.loss_function": "cross-entropy averaged over the tokens of the whole step is used",
    "problem_type": "only causal language modelling is built yet",
    "logging.logger": "trackers are not built yet",
}
DATASET_SETTINGS = frozenset(DatasetSettings.model_fields)
PROBLEM_TYPES = {"text_causal_language_modeling": "causal_lm"}


@dataclass
class Reading:
    """What the lines of a foreign config became."""

    changes: dict[str, Any] = field(default_factory=dict)
    dataset_settings: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def is_foreign(document: Mapping[str, Any]) -> bool:
    """Whether the document has what only H2O LLM Studio writes."""
    dataset = document.get("dataset")
    columns = isinstance(dataset, Mapping) and bool(DATASET_SETTINGS & set(dataset))
    return columns or str(document.get("problem_type", "")).startswith("text_")


def read(document: Mapping[str, Any]) -> Reading:
    """Sort every line of the document; nothing is refused."""
    reading = Reading()
    for path, value in _lines(document):
        section, _, name = path.rpartition(".")
        if section == "dataset" and name in DATASET_SETTINGS:
            _column(reading, name, value)
        elif path == "problem_type":
            _problem_type(reading, value)
        elif path not in settings_by_path():
            reading.unknown.append(f"{path} = {value!r}")
        else:
            _setting(reading, path, value)
    return reading


def _lines(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            lines += [(f"{name}.{inner}", part) for inner, part in value.items()]
        else:
            lines.append((str(name), value))
    return lines


def _problem_type(reading: Reading, value: Any) -> None:
    ours = PROBLEM_TYPES.get(str(value))
    if ours:
        reading.renamed.append(f"problem_type: {value} is {ours} here")
    else:
        reading.replaced.append(f"problem_type = {value!r}: {REPLACED['problem_type']}")


def _column(reading: Reading, name: str, value: Any) -> None:
    if name == "prompt_column" and not isinstance(value, list | tuple):
        value = [value]
    if value in (None, "None"):
        value = ""
    if name == "answer_column" and isinstance(value, list | tuple):
        value = value[0] if value else ""
    if name == "prompt_column_separator":
        value = str(value).encode().decode("unicode_escape")
    reading.dataset_settings[name] = tuple(value) if isinstance(value, list) else value
    reading.taken.append(f"dataset.{name} = {value!r} (of the data set)")


def _setting(reading: Reading, path: str, value: Any) -> None:
    info = settings_by_path()[path]
    value = tuple(value) if isinstance(value, list) else value
    if path in RENAMED_VALUES and value in RENAMED_VALUES[path]:
        ours = RENAMED_VALUES[path][value]
        if ours != value:
            reading.renamed.append(f"{path}: {value!r} is {ours!r} here")
        else:
            reading.taken.append(f"{path} = {value!r}")
        reading.changes[path] = ours
    elif info.status == "coming" and value == info.default:
        reading.taken.append(f"{path} = {value!r}")
    elif path in REPLACED and value != info.default:
        reading.replaced.append(f"{path} = {value!r}: {REPLACED[path]}")
    elif info.status == "coming" or value in info.coming_choices:
        reading.replaced.append(f"{path} = {value!r}: not built yet; {info.default!r} is used")
    elif not fits(path, value):
        reading.replaced.append(f"{path} = {value!r}: takes {info.limits or info.kind}; {info.default!r} is used")
    else:
        reading.changes[path] = value
        reading.taken.append(f"{path} = {value!r}")


def fits(path: str, value: Any) -> bool:
    """Whether our own setting takes this value."""
    from llm_studio.config.experiment import ExperimentConfig
    from llm_studio.config.making import SettingsError, validated

    try:
        validated(ExperimentConfig(), {path: value})
    except SettingsError:
        return False
    return True
