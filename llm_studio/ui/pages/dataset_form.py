"""The form for columns and split of a data set, made from the declarations of DatasetSettings."""

from collections.abc import Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.config import DatasetSettings, SettingInfo, all_settings, is_visible
from llm_studio.data.layouts import all_layouts, layout_of
from llm_studio.data.types import Column
from llm_studio.errors import UserError
from llm_studio.ui import build
from llm_studio.ui.page import Event

PREFIX = "set"
NONE = "(none)"
SEPARATORS = {
    "blank_line": ("A blank line", "\n\n"),
    "new_line": ("A new line", "\n"),
    "space": ("A space", " "),
    "nothing": ("Nothing", ""),
}
OWN_SEPARATOR = "own"
STRATEGIES = {"automatic": "Hold out rows of this file", "custom": "A file of my own"}


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
        chosen = getattr(settings, name) or NONE
        offered = [*([NONE] if name not in needed or chosen == NONE else []), *names]
        return dropdown(declared[name], chosen, {one: one for one in offered}, visible=shown(name))

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
        build.heading("Split", hint="Rows held out from training; every score is taken on them."),
        dropdown(declared["validation_strategy"], settings.validation_strategy, STRATEGIES),
        ui.textbox(
            name=f"{PREFIX}/validation_size",
            label=declared["validation_size"].title,
            value=str(draft.get(f"{PREFIX}/validation_size", spelled_size(settings.validation_size))),
            placeholder="automatic, 10 %, or 200 rows",
            tooltip=declared["validation_size"].help,
            visible=shown("validation_size"),
            error=mistyped(draft, "validation_size"),
            trigger=True,
        ),
        column_field("group_column"),
        *sample_fields(declared, settings, draft, shown("data_sample_choice")),
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


def sample_fields(
    declared: Mapping[str, SettingInfo], settings: DatasetSettings, draft: Mapping[str, Any], choose_parts: bool
) -> list[Any]:
    """Use only a share of the rows, for a quick try."""
    parts = declared["data_sample_choice"]
    return [
        ui.textbox(
            name=f"{PREFIX}/data_sample",
            label=declared["data_sample"].title,
            value=str(draft.get(f"{PREFIX}/data_sample", f"{100 * settings.data_sample:g} %")),
            tooltip=declared["data_sample"].help,
            error=mistyped(draft, "data_sample"),
            trigger=True,
        ),
        ui.checklist(
            name=f"{PREFIX}/data_sample_choice",
            label=parts.title,
            values=list(settings.data_sample_choice),
            choices=[ui.choice(str(choice), str(choice)) for choice in parts.choices or ()],
            tooltip=parts.help,
            inline=True,
            trigger=True,
            visible=choose_parts,
        ),
    ]


def dropdown(info: SettingInfo, value: str, choices: Mapping[str, str], *, visible: bool = True) -> Any:
    """A field with one of several values."""
    return ui.dropdown(
        name=f"{PREFIX}/{info.name}",
        label=info.title,
        value=value,
        choices=[ui.choice(name, label) for name, label in choices.items()],
        tooltip=info.help,
        trigger=True,
        visible=visible,
    )


def separator_name(current: str) -> str:
    """The choice that stands for a separator."""
    return next((name for name, (_, value) in SEPARATORS.items() if value == current), OWN_SEPARATOR)


def separators(current: str) -> dict[str, str]:
    """The usual separators, and the one that is set if it is another."""
    usual = {name: label for name, (label, _) in SEPARATORS.items()}
    return usual if separator_name(current) in SEPARATORS else {**usual, OWN_SEPARATOR: repr(current)}


def spelled_size(size: float) -> str:
    """0 -> "automatic"; 0.1 -> "10 %"; 200 -> "200 rows"."""
    if size == 0:
        return "automatic"
    return f"{100 * size:g} %" if size < 1 else f"{size:g} rows"


def parsed_size(text: str) -> float:
    """The inverse of `spelled_size`; also "0.1" and "200".

    Raises:
        UserError: neither a share nor a number of rows.
    """
    plain = text.strip().lower().replace(",", ".")
    if plain in ("", "automatic", "auto", "0"):
        return 0.0
    try:
        if plain.endswith("%"):
            value = float(plain[:-1]) / 100
            if 0 < value < 1:
                return value
        else:
            value = float(plain.removesuffix("rows").removesuffix("row"))
            if 0 < value < 1 or (value >= 1 and value == int(value)):
                return value
    except ValueError:
        pass
    raise UserError(
        f"{text!r} is not a size.", where="Rows to hold out", fix="Type automatic, a share such as 10 %, or 200 rows."
    )


def parsed_share(text: str) -> float:
    """ "50 %" or "0.5" as 0.5.

    Raises:
        UserError: it is not above 0 and at most 100 %.
    """
    plain = text.strip().replace(",", ".")
    try:
        value = float(plain.rstrip("% ")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if 0 < value <= 1:
        return value
    raise UserError(
        f"{text!r} is not a share.", where="Share of the data to use", fix="Type a share such as 50 %, at most 100 %."
    )


TYPED = {"validation_size": parsed_size, "data_sample": parsed_share}


def mistyped(draft: Mapping[str, Any], name: str) -> str | None:
    """What is wrong with the text in a field, in words under it."""
    typed = draft.get(f"{PREFIX}/{name}")
    if typed is None:
        return None
    try:
        TYPED[name](str(typed))
    except UserError as error:
        return f"{error.what} {error.fix}"
    return None


def refuse_mistyped(draft: Mapping[str, Any]) -> None:
    """For the step after the form.

    Raises:
        UserError: a field still holds a text that is no value.
    """
    for name, parse in TYPED.items():
        if (typed := draft.get(f"{PREFIX}/{name}")) is not None:
            parse(str(typed))


def taken(
    draft: Mapping[str, Any], event: Event, settings: DatasetSettings, columns: Sequence[str]
) -> dict[str, object]:
    """The changes that a used field asks for; none while its text is no value (`mistyped` says so under it).

    A column that becomes the answer leaves the prompt, where the old answer takes its place: so choosing a column and
    choosing the old one again ends where it began.
    """
    name = event.argument
    if name in TYPED and mistyped(draft, name):
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
    if name == "validation_size":
        return {name: parsed_size(str(value or ""))}
    if name == "data_sample":
        return {name: parsed_share(str(value or ""))}
    if name == "prompt_column_separator":
        return {name: SEPARATORS[str(value)][1]} if value in SEPARATORS else {}
    if infos()[name].kind == "multi":
        return {name: tuple(value or ())}
    if name.endswith("_column"):
        return {name: "" if value in (NONE, None) else str(value)}
    return {name: value}
