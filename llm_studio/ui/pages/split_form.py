"""The split in the form of a data set: which rows are held out, of how many, with what mixture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from h2o_wave import ui

from llm_studio.config import DatasetSettings, SettingInfo
from llm_studio.errors import UserError
from llm_studio.ui import build

PREFIX = "set"
NONE = "(none)"
STRATEGIES = {
    "automatic": "Hold out rows of this file",
    "custom": "A file of my own",
    "column": "A column says which rows",
}
MIXTURES = {
    "automatic": "By label, where there are labels",
    "none": "Leave it to chance",
    "length": "By length",
    "column": "By a column",
}

NEAR = {"automatic": "Up to 200,000 rows", "always": "Always", "never": "Do not look for them"}

Declared = Mapping[str, SettingInfo]


def fields(
    declared: Declared,
    settings: DatasetSettings,
    columns: Sequence[str],
    draft: Mapping[str, Any],
    shown: Callable[[str], bool],
) -> list[Any]:
    """All fields of the split; those that do not apply are there and hidden, so that nothing jumps."""

    def typed(name: str, value: str, placeholder: str = "") -> Any:
        return ui.textbox(
            name=f"{PREFIX}/{name}",
            label=declared[name].title,
            value=str(draft.get(f"{PREFIX}/{name}", value)),
            placeholder=placeholder,
            tooltip=declared[name].help,
            visible=shown(name),
            error=mistyped(draft, name),
            trigger=True,
        )

    def column(name: str) -> Any:
        return column_choice(declared[name], getattr(settings, name), columns, optional=False, visible=shown(name))

    return [
        build.heading("Split", hint="Rows held out from training; every score is taken on them."),
        dropdown(declared["validation_strategy"], settings.validation_strategy, STRATEGIES),
        typed("validation_size", spelled_size(settings.validation_size), "automatic, 10 %, or 200 rows"),
        column("split_column"),
        column_choice(
            declared["group_column"], settings.group_column, columns, optional=True, visible=shown("group_column")
        ),
        dropdown(declared["near_duplicates"], settings.near_duplicates, NEAR, visible=shown("near_duplicates")),
        dropdown(declared["stratify"], settings.stratify, MIXTURES, visible=shown("stratify")),
        column("stratify_column"),
        typed("test_size", spelled_test(settings.test_size), "none, 10 %, or 200 rows"),
        typed("split_seed", str(settings.split_seed)),
        typed("data_sample", f"{100 * settings.data_sample:g} %"),
        parts_field(declared["data_sample_choice"], settings, visible=shown("data_sample_choice")),
    ]


def parts_field(info: SettingInfo, settings: DatasetSettings, *, visible: bool) -> Any:
    """Which parts a share of the data is taken of."""
    return ui.checklist(
        name=f"{PREFIX}/{info.name}",
        label=info.title,
        values=list(settings.data_sample_choice),
        choices=[ui.choice(str(choice), str(choice)) for choice in info.choices or ()],
        tooltip=info.help,
        inline=True,
        trigger=True,
        visible=visible,
    )


def column_choice(info: SettingInfo, value: str, columns: Sequence[str], *, optional: bool, visible: bool) -> Any:
    """A field with one of the columns, or none."""
    chosen = value or NONE
    offered = [*([NONE] if optional or chosen == NONE else []), *columns]
    return dropdown(info, chosen, {one: one for one in offered}, visible=visible)


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


def spelled_size(size: float) -> str:
    """0 -> "automatic"; 0.1 -> "10 %"; 200 -> "200 rows"."""
    if size == 0:
        return "automatic"
    return f"{100 * size:g} %" if size < 1 else f"{size:g} rows"


def spelled_test(size: float) -> str:
    """As `spelled_size`, but 0 is none."""
    return spelled_size(size) if size else "none"


def parsed_test(text: str) -> float:
    """The inverse of `spelled_test`.

    Raises:
        UserError: neither a share nor a number of rows.
    """
    return 0.0 if text.strip().lower() in ("none", "no", "") else parsed_size(text)


def parsed_seed(text: str) -> int:
    """A whole number from 0 on.

    Raises:
        UserError: it is not.
    """
    if text.strip().isdecimal() and int(text) < 2**31:
        return int(text)
    raise UserError(
        f"{text!r} is not a split number.", where="Split number", fix="Type a whole number, such as 0 or 7."
    )


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


TYPED: dict[str, Callable[[str], float]] = {
    "validation_size": parsed_size,
    "test_size": parsed_test,
    "split_seed": parsed_seed,
    "data_sample": parsed_share,
}


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
