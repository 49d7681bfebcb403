"""What a setting declares beside its type and range: its group, level, condition and whether it works yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Level = Literal["basic", "advanced", "expert"]
Status = Literal["ready", "coming"]


@dataclass(frozen=True)
class When:
    """A condition on other settings of the same section: all of them must hold.

    wanted: setting name -> value, or a tuple of values of which one must hold. unwanted: the opposite.
    """

    wanted: Mapping[str, Any] = field(default_factory=dict)
    unwanted: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, values: Mapping[str, Any], section: str) -> bool:
        """`values` by path ("training.lora")."""
        return all(_is(values.get(f"{section}.{name}"), value) for name, value in self.wanted.items()) and not any(
            _is(values.get(f"{section}.{name}"), value) for name, value in self.unwanted.items()
        )

    @property
    def words(self) -> str:
        """ "lora is on", "schedule is not constant"."""
        return " and ".join(
            [f"{name} is {_words(value)}" for name, value in self.wanted.items()]
            + [f"{name} is not {_words(value)}" for name, value in self.unwanted.items()]
        )


def _is(found: Any, wanted: Any) -> bool:
    return found in wanted if isinstance(wanted, tuple) else bool(found == wanted)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " or ".join(_words(item) for item in value)
    return "empty" if value == "" else str(value)


def when(**wanted: Any) -> When:
    """Shown when these settings of the section have these values."""
    return When(wanted=wanted)


def unless(**unwanted: Any) -> When:
    """Shown when these settings of the section have other values."""
    return When(unwanted=unwanted)


@dataclass(frozen=True, kw_only=True)
class Knob:
    """Metadata of one setting; the sentence under the field is its help.

    choices: for text settings with a closed list (pydantic's Literal gives its own). status "coming": declared, locked
    in the form, without effect yet. log_scale: steps are factors. grid: values worth trying against each other.
    """

    title: str = ""
    group: str = ""
    level: Level = "advanced"
    unit: str = ""
    step: float | None = None
    visible_when: When | None = None
    grid: tuple[Any, ...] = ()
    choices: tuple[str, ...] = ()
    status: Status = "ready"
    log_scale: bool = False


class Section(BaseModel):
    """A group of settings with one heading; values never change, a change makes a new section."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
