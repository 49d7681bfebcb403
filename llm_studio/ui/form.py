"""Makes a form of settings from their declarations: one field per setting, checked as it is typed, with a way back.

Every field is built at every drawing; level, condition and search only show or hide it, so that nothing typed is lost.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from h2o_wave import ui

from llm_studio.config import Problem, SettingInfo, check_value, is_visible
from llm_studio.ui import text

SET, RESET = "cfg", "reset"  # names of fields and of the buttons that take a change back: "cfg/training.epochs"
LEVELS = ("basic", "advanced", "expert")


@dataclass(frozen=True)
class FormState:
    """What a form shows, all by path of the setting.

    base: values without any change of the user's. origins: where a base value comes from when it is not the default, in
    words. entered: what the user changed, as entered (text of a text box, bool of a toggle). values: base and entered
    together, with the base value wherever what was entered is no value. problems: what is wrong with what was entered.
    """

    base: Mapping[str, Any]
    entered: Mapping[str, Any]
    values: Mapping[str, Any]
    problems: Mapping[str, Problem] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, Any]:
        """The user's changes that are values."""
        return {path: self.values[path] for path in self.entered if path not in self.problems}


def read_form(
    infos: Mapping[str, SettingInfo],
    base: Mapping[str, Any],
    entered: Mapping[str, Any],
    origins: Mapping[str, str] | None = None,
) -> FormState:
    """Turn what was entered into values; what equals the base value is no change, and a field whose condition does not
    hold cannot be wrong."""
    values, kept, problems = dict(base), {}, {}
    for path, given in entered.items():
        if path not in infos or infos[path].status == "coming":
            continue
        value, problem = check_value(infos[path], as_text(given))
        if problem is not None:
            kept[path], problems[path] = given, problem
        elif value != base[path]:
            kept[path], values[path] = given, value
    problems = {path: problem for path, problem in problems.items() if is_visible(infos[path], values)}
    return FormState(base=base, entered=kept, values=values, problems=problems, origins=origins or {})


def as_text(given: Any) -> str:
    """What a field sent, as the text that `check_value` reads."""
    if isinstance(given, bool):
        return "true" if given else "false"
    return ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


def spelled(info: SettingInfo, value: Any) -> Any:
    """A value as its field holds it: bool for a toggle, text for all others."""
    if info.kind == "bool":
        return bool(value)
    if info.kind == "float":
        return f"{value:g}" if value == float(f"{value:g}") else repr(value)
    return as_text(value)


def said(info: SettingInfo, value: Any) -> str:
    """A value in a sentence."""
    if info.kind == "bool":
        return "on" if value else "off"
    return str(spelled(info, value)) or "empty"


def shown_paths(
    infos: Mapping[str, SettingInfo], state: FormState, *, level: str, search: str = "", always: Collection[str] = ()
) -> set[str]:
    """The settings to show: those of the level, or all that a search finds; of these, the ones whose condition holds.

    A setting that was changed or is wrong is shown at every level: nothing acts unseen. always: paths that every level
    shows.
    """
    levels = LEVELS[: LEVELS.index(level) + 1] if level in LEVELS else LEVELS
    shown = set()
    for path, info in infos.items():
        wanted = info.level in levels or path in state.entered or path in always
        if (matches(info, search) if search.strip() else wanted) and is_visible(info, state.values):
            shown.add(path)
    return shown


def matches(info: SettingInfo, search: str) -> bool:
    """Whether every word of a search occurs in the setting's name, title, group or help."""
    place = f"{info.path} {info.title} {info.group} {info.help}".lower()
    return all(word in place for word in search.lower().split())


def label(info: SettingInfo) -> str:
    """Title, unit and, for a setting without effect yet, the word for it."""
    unit = f" ({info.unit})" if info.unit else ""
    return f"{info.title}{unit}{' – coming' if info.status == 'coming' else ''}"


def cell(info: SettingInfo, state: FormState, *, visible: bool, control: Any = None, words: str = "") -> Any:
    """One setting: its field, and under it where its value comes from and the way back from a change.

    control: another field than the declaration gives, for settings with a list of their own. words: stand under it.
    """
    path = info.path
    changed = visible and path in state.entered
    origin = "" if changed else state.origins.get(path, "")
    note = "".join(
        f'<p class="{kind}">{text.markup(line)}</p>'
        for line, kind in ((origin, "ls-setting-note"), (words, "ls-hint"))
        if line
    )
    return ui.inline(
        direction="column",
        align="start",
        items=[
            control if control is not None else control_of(info, state, visible=visible),
            ui.markup(name=f"note/{path}", content=note, visible=visible and bool(note)),
            ui.button(
                name=f"{RESET}/{path}",
                label=f"changed · reset to {shortened(said(info, state.base[path]))}",
                link=True,
                visible=changed,
            ),
        ],
    )


def shortened(words: str, most: int = 28) -> str:
    """A long value with an ellipsis."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def control_of(info: SettingInfo, state: FormState, *, visible: bool) -> Any:
    """The field that fits the kind of a setting."""
    held = state.entered.get(info.path, spelled(info, state.base[info.path]))
    common: dict[str, Any] = {
        "name": f"{SET}/{info.path}",
        "label": label(info),
        "value": held,
        "tooltip": explained(info),
        "disabled": info.status == "coming",
        "visible": visible,
        "trigger": True,
    }
    if info.kind == "bool":
        return ui.toggle(**common | {"value": as_text(held) == "true"})
    if info.kind == "choice":
        return ui.dropdown(**common, choices=[ui.choice(one, one) for one in info.choices])
    error = problem_words(info) if info.path in state.problems else None
    return ui.textbox(**common, error=error, spellcheck=False)


def explained(info: SettingInfo) -> str:
    """The tooltip: what it does, its limits, its name in YAML and on the command line."""
    limits = f" Takes {info.limits}." if info.limits and info.kind != "choice" else ""
    coming = " Not built yet: it has no effect." if info.status == "coming" else ""
    return f"{info.help}{limits}{coming} In YAML: {info.path}."


def problem_words(info: SettingInfo) -> str:
    """What a field takes, short enough for the line under it."""
    kind = {"int": "a whole number", "float": "a number", "bool": "on or off"}.get(info.kind, "text")
    return f"Takes {', '.join(part for part in (kind, info.limits) if part)}."
