"""Makes configs from changes and says everything that is wrong with them at once."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

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
    """Declared defaults, changed by the preset, then by the backbone's recommended settings, then by `changes`.

    Raises:
    SettingsError: names or values are wrong, all of them at once.
    """
    if preset is not None and preset not in PRESETS:
        what = f"There is no preset {preset!r}."
        raise UserError(what, where="preset", fix=f"Take one of: {', '.join(PRESETS)}.")
    base: dict[str, object] = dict(PRESETS[preset].changes) if preset else {}
    base |= dict(recommended or {})
    if preset:
        base = {path: PRESETS[preset].scaled(path, value) for path, value in base.items()}
    config = validated(ExperimentConfig(problem_type=problem_type), base)
    return validated(config, changes)


def validated(config: ExperimentConfig, changes: Mapping[str, object]) -> ExperimentConfig:
    """The config with the changes.

    Raises:
    SettingsError: names or values are wrong, all of them at once.
    """
    known = settings_by_path()
    problems = [unknown(path, value) for path, value in changes.items() if path not in known]
    nested: dict[str, Any] = {}
    for path, value in (flatten(config) | {path: value for path, value in changes.items() if path in known}).items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        made = ExperimentConfig.model_validate(nested)
    except ValidationError as error:
        for found in error.errors():
            path = ".".join(str(part) for part in found["loc"] if not isinstance(part, int))
            problems.append(wrong(known[path], found["input"]) if path in known else unknown(path, found["input"]))
        raise SettingsError(tuple(problems)) from None
    for path, value in changes.items():
        if path in known and value in known[path].coming_choices:
            what = f"{known[path].title}: {value!r} is declared but not built yet."
            problems.append(Problem(path, value, known[path].limits, what, f"Keep {known[path].default!r}."))
    if problems:
        raise SettingsError(tuple(problems))
    return made


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
        close = difflib.get_close_matches(value, info.choices, n=1)
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
