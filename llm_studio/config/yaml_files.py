"""Configs as YAML files: our own, and those that H2O LLM Studio wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from llm_studio import starter
from llm_studio.config import h2o
from llm_studio.config.declarations import settings_by_path
from llm_studio.config.experiment import ExperimentConfig, flatten
from llm_studio.config.making import Problem, SettingsError, check_value, make_config, unknown
from llm_studio.errors import UserError

LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class Loaded:
    """A config and what became of the file's lines.

    taken, renamed, replaced and unknown are sentences. changes: the settings that the file itself names, by path.
    data_file and dataset_settings come from a foreign file only.
    """

    config: ExperimentConfig
    changes: Mapping[str, Any] = field(default_factory=dict)
    taken: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    dataset_settings: dict[str, Any] | None = None
    data_file: str | None = None


def to_yaml(config: ExperimentConfig) -> str:
    """Every setting, in the order of the form."""
    document: dict[str, Any] = {}
    for path, value in flatten(config).items():
        section, _, name = path.rpartition(".")
        place = document.setdefault(section, {}) if section else document
        place[name] = list(value) if isinstance(value, tuple) else value
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


class Dumper(yaml.SafeDumper):
    """Writes text with the line breaks of Unicode between double quotes, where PyYAML would lose them."""


def quoted_breaks(dumper: Dumper, value: str) -> yaml.ScalarNode:
    """Text as a node."""
    style = '"' if any(sign in value for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, quoted_breaks)


def from_yaml(text: str, *, changes: Mapping[str, str] | None = None, preset: str | None = None) -> Loaded:
    """The config of a file; values it does not name come from the preset, the backbone's recommended settings and the
    declared defaults.

    changes: settings typed on the command line, as text; they go last. preset: goes before the file's own `preset`.

    Raises:
        UserError: it is no YAML mapping. SettingsError: settings are wrong, all of them at once.
    """
    document = parse(text)
    own_preset = document.pop("preset", None)
    preset = preset or (str(own_preset) if own_preset is not None else None)
    typed = _typed(changes or {})
    if h2o.is_foreign(document):
        reading = h2o.read(document)
        config = make_config(reading.changes | typed, preset=preset)
        data_file = reading.dataset_settings.get("train_dataframe")
        return Loaded(
            config=config,
            changes=reading.changes | typed,
            taken=tuple(reading.taken),
            renamed=tuple(reading.renamed),
            replaced=tuple(reading.replaced),
            unknown=tuple(reading.unknown),
            dataset_settings=reading.dataset_settings,
            data_file=str(data_file) if data_file else None,
        )
    own: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            own |= {f"{name}.{inner}": _plain(f"{name}.{inner}", part) for inner, part in value.items()}
        else:
            own[str(name)] = _plain(str(name), value)
    own |= h2o.way_of_cutting(own) | typed
    backbone = str(own.get("llm_backbone", ExperimentConfig().llm_backbone))
    config = make_config(own, preset=preset, recommended=starter.RECOMMENDED if backbone == "starter" else None)
    return Loaded(config=config, changes=own, taken=tuple(f"{path} = {value!r}" for path, value in own.items()))


def parse(text: str) -> dict[str, Any]:
    """The YAML mapping of a text.

    Raises:
        UserError: it is too large, no YAML, or no mapping.
    """
    if len(text.encode()) > LARGEST_BYTES:
        raise UserError("This file is too large for a config.", where="YAML", fix="Choose a config file of under 1 MB.")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
        reason = getattr(error, "problem", None) or "it cannot be read"
        raise UserError(f"This is no YAML: {reason}.", where=place, fix="Correct that line.") from None
    if not isinstance(document, dict):
        raise UserError("The file holds no settings.", where="YAML", fix="Write lines such as `llm_backbone: starter`.")
    return document


def _plain(path: str, value: Any) -> Any:
    """Lists as tuples; an empty line of a text setting as no text."""
    info = settings_by_path().get(path)
    if value is None and info is not None and info.kind in ("str", "multi"):
        return "" if info.kind == "str" else ()
    return tuple(value) if isinstance(value, list) else value


def _typed(changes: Mapping[str, str]) -> dict[str, Any]:
    """Settings typed on the command line as values.

    Raises:
        SettingsError: names or values are wrong, all of them at once.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for path, text in changes.items():
        info = settings_by_path().get(path)
        if info is None:
            problems.append(unknown(path, text))
            continue
        value, problem = check_value(info, text)
        values[path] = value
        problems += [problem] if problem else []
    if problems:
        raise SettingsError(tuple(problems))
    return values
