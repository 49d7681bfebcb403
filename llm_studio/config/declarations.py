"""Reads the declarations: one SettingInfo per setting, from which form, command line, reference and checks are made."""

import functools
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from llm_studio.config.dataset_settings import DatasetSettings
from llm_studio.config.experiment import GENERAL, ExperimentConfig
from llm_studio.config.knob import Knob, Level, Section, Status, When
from llm_studio.errors import BugError, UserError

Kind = Literal["bool", "int", "float", "str", "choice", "multi"]
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, kw_only=True)
class SettingInfo:
    """One setting as declared. minimum and maximum are inclusive unless `minimum_exclusive`."""

    path: str
    section: str
    name: str
    title: str
    kind: Kind
    default: Any
    minimum: float | None
    maximum: float | None
    minimum_exclusive: bool
    step: float | None
    unit: str
    choices: tuple[str, ...]
    level: Level
    group: str
    visible_when: When | None
    help: str
    scope: Literal["experiment", "dataset"]
    status: Status
    grid: tuple[Any, ...]
    log_scale: bool

    @property
    def limits(self) -> str:
        """ "at least 1 and at most 1,024", "one of: a, b", or empty."""
        if self.choices:
            return f"one of: {', '.join(self.choices)}"
        low = (
            None
            if self.minimum is None
            else f"{'more than' if self.minimum_exclusive else 'at least'} {self.minimum:g}"
        )
        high = None if self.maximum is None else f"at most {self.maximum:,g}".replace(",", "")
        return " and ".join(part for part in (low, high) if part)


@functools.cache
def all_settings() -> tuple[SettingInfo, ...]:
    """Every setting of both scopes, in the order of the form."""
    found: list[SettingInfo] = []
    for name, field in ExperimentConfig.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            found += [
                _info(f"{name}.{inner}", name, inner, part, "experiment")
                for inner, part in type(default).model_fields.items()
            ]
        else:
            found.append(_info(name, GENERAL, name, field, "experiment"))
    for name, field in DatasetSettings.model_fields.items():
        found.append(_info(f"dataset.{name}", "dataset", name, field, "dataset"))
    return tuple(found)


@functools.cache
def settings_by_path(scope: str = "experiment") -> Mapping[str, SettingInfo]:
    """The settings of one scope by path."""
    return {info.path: info for info in all_settings() if info.scope == scope}


def _info(path: str, section: str, name: str, field: FieldInfo, scope: Literal["experiment", "dataset"]) -> SettingInfo:
    knob = next((item for item in field.metadata if isinstance(item, Knob)), None)
    if knob is None or not field.description:
        raise BugError(f"{path} is declared without a Knob or without a sentence")
    kind, choices = _kind(field.annotation, knob)
    low = next((item for item in field.metadata if isinstance(item, annotated_types.Ge | annotated_types.Gt)), None)
    high = next((item.le for item in field.metadata if isinstance(item, annotated_types.Le)), None)
    exclusive = isinstance(low, annotated_types.Gt)
    minimum = low.gt if isinstance(low, annotated_types.Gt) else low.ge if low is not None else None
    return SettingInfo(
        path=path,
        section=section,
        name=name,
        title=knob.title or name,
        kind=kind,
        default=field.default,
        minimum=minimum,  # type: ignore[arg-type]
        maximum=high,  # type: ignore[arg-type]
        minimum_exclusive=exclusive,
        step=knob.step,
        unit=knob.unit,
        choices=choices,
        level=knob.level,
        group=knob.group,
        visible_when=knob.visible_when,
        help=" ".join(field.description.split()),
        scope=scope,
        status=knob.status,
        grid=knob.grid,
        log_scale=knob.log_scale,
    )


def _kind(annotation: Any, knob: Knob) -> tuple[Kind, tuple[str, ...]]:
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice", tuple(str(item) for item in get_args(annotation))
    if origin is tuple:
        return "multi", knob.choices
    if origin in (Union, types.UnionType):
        raise BugError(f"a setting has one type, not {annotation}")
    if knob.choices:
        return "choice", knob.choices
    names: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
    return names[annotation], ()


def is_visible(info: SettingInfo, values: Mapping[str, Any]) -> bool:
    """Whether the condition of the setting holds, and that of the settings it depends on; `values` by path."""
    if info.visible_when is None:
        return True
    if not info.visible_when.holds(values, info.section):
        return False
    known = settings_by_path(info.scope)
    names = {*info.visible_when.wanted, *info.visible_when.unwanted}
    return all(is_visible(known[f"{info.section}.{name}"], values) for name in names)


def parse_value(info: SettingInfo, text: str) -> Any:
    """What a person typed as a value of the setting's type; the range is checked when a config is made.

    Raises:
    UserError: it is not of that type.
    """
    text = text if info.kind == "str" else text.strip()
    try:
        match info.kind:
            case "bool":
                lowered = text.lower()
                if lowered not in TRUE + FALSE:
                    raise ValueError
                return lowered in TRUE
            case "int":
                number = float(text.replace("_", ""))
                if number != int(number):
                    raise ValueError
                return int(number)
            case "float":
                return float(text.replace("_", ""))
            case "multi":
                return tuple(part.strip() for part in text.strip("[]()").split(",") if part.strip())
            case _:
                return text
    except (ValueError, OverflowError):
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}.get(info.kind, "text")
        raise UserError(
            f"{info.title} takes {wanted}, not {text!r}.",
            where=info.path,
            fix=f"Type {wanted}{', ' + info.limits if info.limits else ''}; the default is {info.default!r}.",
        ) from None


def describe(info: SettingInfo) -> dict[str, Any]:
    """The setting as plain data, for the command line and the reference page."""
    return {
        "path": info.path,
        "section": info.section,
        "name": info.name,
        "title": info.title,
        "scope": info.scope,
        "type": info.kind,
        "default": list(info.default) if isinstance(info.default, tuple) else info.default,
        "limits": info.limits,
        "choices": list(info.choices),
        "level": info.level,
        "unit": info.unit,
        "status": info.status,
        "shown_when": info.visible_when.words if info.visible_when else "",
        "help": info.help,
    }
