"""Makes configs from changes and says everything that is wrong with them at once."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llm_studio.catalog.problem_types import defaults_of
from llm_studio.config.declarations import SettingInfo, parse_value, settings_by_path
from llm_studio.config.experiment import ExperimentConfig, flatten
from llm_studio.config.presets import PRESETS
from llm_studio.errors import UserError


@dataclass(frozen=True)
class Problem:
    """One wrong setting: its path, the value, the limit it breaks, and the three sentences of an error."""

    path: str
    value: Any
    limit: str
    what: str
    fix: str


class SettingsError(UserError):
    """One or several settings are wrong; `problems` has them one by one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = " ".join(problem.what for problem in problems)
        super().__init__(
            lines,
            where=", ".join(problem.path for problem in problems),
            fix=" ".join(dict.fromkeys(problem.fix for problem in problems if problem.fix)),
        )


def make_config(
    changes: Mapping[str, object],
    *,
    problem_type: str = "causal_lm",
    recommended: Mapping[str, object] | None = None,
    preset: str | None = None,
) -> ExperimentConfig:
    """Declared defaults, changed by the problem type, then by the backbone's recommended settings, then by the preset,
    then by `changes`.

    Raises:
        SettingsError: names or values are wrong, all of them at once.
    """
    if preset is not None and preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"There is no preset {preset!r}.", where="preset", fix=f"Take one of: {', '.join(PRESETS)}.{meant}"
        )
    base = {"problem_type": problem_type, **defaults_of(problem_type), **(recommended or {})}
    config = validated(ExperimentConfig(), base)
    if preset is not None:
        config = validated(config, PRESETS[preset].over(flatten(config)))
    return validated(config, changes)


def validated(config: ExperimentConfig, changes: Mapping[str, object]) -> ExperimentConfig:
    """The config with the changes.

    Raises:
        SettingsError: names or values are wrong, or do nothing yet; all of them at once.
    """
    known = settings_by_path()
    problems = [unknown(path, value) for path, value in changes.items() if path not in known]
    asked = {path: value for path, value in changes.items() if path in known}
    nested: dict[str, Any] = {}
    for path, value in (flatten(config) | asked).items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    made = None
    try:
        made = ExperimentConfig.model_validate(nested)
        asked = {path: value for path, value in flatten(made).items() if path in asked}
    except ValidationError as error:
        for found in error.errors():
            path = ".".join(str(part) for part in found["loc"] if not isinstance(part, int))
            problems.append(wrong(known[path], asked.pop(path, found["input"])))
    for path, value in asked.items():
        if known[path].kind == "choice" and value not in known[path].choices:
            problems.append(wrong(known[path], value))
        elif is_coming(known[path], value):
            problems.append(coming(known[path], value))
    if problems or made is None:
        raise SettingsError(tuple(problems))
    return made


def is_coming(info: SettingInfo, value: object) -> bool:
    """Whether this value asks for something that is not built yet."""
    return info.status == "coming" and value != info.default


def coming(info: SettingInfo, value: object) -> Problem:
    """A value that is declared and does nothing yet: taking it silently would be a lie."""
    what = f"{info.title} ({info.path}) is {value!r}, which is not built yet."
    return Problem(info.path, value, info.limits, what, f"Leave {info.path} at {info.default!r}.")


def check_value(info: SettingInfo, text: str) -> tuple[Any, Problem | None]:
    """What was typed as a value, or what is wrong with it; for checks while typing."""
    try:
        value = parse_value(info, text)
    except UserError as error:
        return text, Problem(info.path, text, info.limits, error.what, error.fix)
    try:
        validated(ExperimentConfig(), {info.path: value})
    except SettingsError as error:
        return value, error.problems[0]
    return value, None


def wrong(info: SettingInfo, value: object) -> Problem:
    """A value outside its type or range."""
    limits = info.limits or {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(
        info.kind, "text"
    )
    nearest = ""
    if info.choices and isinstance(value, str):
        spelled = {name.lower(): name for name in info.choices}
        close = [spelled[name] for name in difflib.get_close_matches(value.lower(), spelled, n=1)]
        nearest = f" Did you mean {close[0]!r}?" if close else ""
    what = f"{info.title} ({info.path}) is {value!r}, but takes {limits}."
    return Problem(
        info.path, value, limits, what, f"Set {info.path} to {limits}; the default is {info.default!r}.{nearest}"
    )


def unknown(path: str, value: object) -> Problem:
    """A setting that does not exist, with the nearest one that does."""
    known = settings_by_path()
    close = difflib.get_close_matches(path, known, n=1) or [
        one for one in known if one.rpartition(".")[2] == path.rpartition(".")[2]
    ]
    fix = f"Did you mean {close[0]}?" if close else "See `llm-studio settings` for all names."
    return Problem(path, value, "", f"There is no setting {path!r}.", fix)
