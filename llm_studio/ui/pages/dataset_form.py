"""The form for columns and split of a data set, made from the declarations of DatasetSettings."""

from collections.abc import Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.config import DatasetSettings, SettingInfo, all_settings, is_visible
from llm_studio.data.layouts import all_layouts, layout_of
from llm_studio.data.types import Column
from llm_studio.ui import build
from llm_studio.ui.page import Event
from llm_studio.ui.pages import split_form
from llm_studio.ui.pages.split_form import NONE, PREFIX, column_choice, dropdown, mistyped, refuse_mistyped

__all__ = ["NONE", "PREFIX", "fields", "infos", "mistyped", "refuse_mistyped", "taken"]

SEPARATORS = {
    "blank_line": ("A blank line", "\n\n"),
    "new_line": ("A new line", "\n"),
    "space": ("A space", " "),
    "nothing": ("Nothing", ""),
}
OWN_SEPARATOR = "own"


def infos() -> dict[str, SettingInfo]:
    """The declarations by name."""
    return {info.name: info for info in all_settings() if info.scope == "dataset"}


def fields(settings: DatasetSettings, columns: Sequence[Column], draft: Mapping[str, Any]) -> list[Any]:
    """All fields that fit the chosen layout; the others are there and hidden, so that nothing jumps."""
    declared = infos()
    names = [column.name for column in columns]
    values = {info.path: getattr(settings, info.name) for info in declared.values()}

    def shown(name: str) -> bool:
        return is_visible(declared[name], values)

    needed = {name for group in layout_of(settings).needs if len(group) == 1 for name in group}

    def column_field(name: str) -> Any:
        value = getattr(settings, name)
        return column_choice(declared[name], value, names, optional=name not in needed, visible=shown(name))

    return [
        build.heading("Columns"),
        dropdown(declared["layout"], settings.layout, {layout.name: layout.title for layout in all_layouts()}),
        column_field("messages_column"),
        column_field("text_column"),
        columns_field(declared["prompt_column"], settings, names, visible=shown("prompt_column")),
        dropdown(
            declared["prompt_column_separator"],
            separator_name(settings.prompt_column_separator),
            separators(settings.prompt_column_separator),
            visible=shown("prompt_column_separator") and len(settings.prompt_column) > 1,
        ),
        *(column_field(name) for name in ("answer_column", "rejected_answer_column", "wanted_column")),
        columns_field(declared["label_column"], settings, names, visible=shown("label_column")),
        *(column_field(name) for name in ("id_column", "parent_id_column", "system_column", "tools_column")),
        *split_form.fields(declared, settings, names, draft, shown),
    ]


def columns_field(info: SettingInfo, settings: DatasetSettings, names: Sequence[str], *, visible: bool) -> Any:
    """A list to tick for some columns, a dropdown for many; without those that are taken by another field."""
    chosen = [name for name in getattr(settings, info.name) if name in names]
    reads = layout_of(settings).reads
    taken = {settings.answer_column} if "answer_column" in reads else set()
    taken |= set(settings.prompt_column) if info.name == "label_column" else set()
    choices = [ui.choice(name, name) for name in names if name not in taken or name in chosen]
    make = ui.checklist if len(names) <= 8 else ui.dropdown
    more: dict[str, Any] = {"inline": True} if make is ui.checklist else {}
    return make(
        name=f"{PREFIX}/{info.name}",
        label=info.title,
        values=chosen,
        choices=choices,
        tooltip=info.help,
        trigger=True,
        visible=visible,
        **more,
    )


def separator_name(current: str) -> str:
    """The choice that stands for a separator."""
    return next((name for name, (_, value) in SEPARATORS.items() if value == current), OWN_SEPARATOR)


def separators(current: str) -> dict[str, str]:
    """The usual separators, and the one that is set if it is another."""
    usual = {name: label for name, (label, _) in SEPARATORS.items()}
    return usual if separator_name(current) in SEPARATORS else {**usual, OWN_SEPARATOR: repr(current)}


def taken(
    draft: Mapping[str, Any], event: Event, settings: DatasetSettings, columns: Sequence[str]
) -> dict[str, object]:
    """The changes that a used field asks for; none while its text is no value (`mistyped` says so under it).

    A column that becomes the answer leaves the prompt, where the old answer takes its place: so choosing a column and
    choosing the old one again ends where it began.
    """
    name = event.argument
    if name in split_form.TYPED and mistyped(draft, name):
        return {}
    change = changed(name, draft.get(f"{PREFIX}/{name}", event.value))
    if name == "answer_column" and change[name] in settings.prompt_column:
        prompts = [settings.answer_column if one == change[name] else one for one in settings.prompt_column]
        change["prompt_column"] = tuple(one for one in columns if one in prompts)
    if name in ("prompt_column", "label_column"):
        chosen = changed(name, draft.get(f"{PREFIX}/{name}", event.value))[name]
        change[name] = tuple(one for one in columns if isinstance(chosen, tuple) and one in chosen)
    return change


def changed(name: str, value: Any) -> dict[str, object]:
    """The change that a field asks for: its value as DatasetSettings holds it.

    Raises:
        UserError: a typed value that is none.
    """
    if name in split_form.TYPED:
        return {name: split_form.TYPED[name](str(value or ""))}
    if name == "prompt_column_separator":
        return {name: SEPARATORS[str(value)][1]} if value in SEPARATORS else {}
    if infos()[name].kind == "multi":
        return {name: tuple(value or ())}
    if name.endswith("_column"):
        return {name: "" if value in (NONE, None) else str(value)}
    return {name: value}
