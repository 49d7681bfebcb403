"""Finds the smallest change that turns the cards a browser holds into the cards it should hold.

Changing one property keeps focus, typed text and scroll; a component or card is sent anew only when its kind, name or
place changed. Works on plain dicts (what `card.dump()` returns); sends nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from h2o_wave import Data

# Lists of these names hold components, which the browser updates in place; any other list is replaced as a whole,
# because a table or a dropdown notices new rows or choices only by the list itself.
COMPONENT_LISTS = frozenset({"items", "secondary_items", "buttons"})
# Components that have a value the user changes.
INPUTS = frozenset(
    {
        "textbox", "checkbox", "toggle", "choice_group", "checklist", "dropdown", "combobox", "slider", "range_slider",
        "spinbox", "date_picker", "time_picker", "color_picker", "picker", "file_upload", "table",
    }
)  # fmt: skip

Dump = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass
class Change:
    """What to send for one page: cards to delete, cards to (re)create, properties to set; in this order."""

    deleted: list[str] = field(default_factory=list)
    created: dict[str, Dump] = field(default_factory=dict)
    updates: list[tuple[str, Path, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.deleted or self.created or self.updates)


def changes(old: Mapping[str, Dump], new: Mapping[str, Dump]) -> Change:
    """The change from the cards `old` to the cards `new`, by card name."""
    result = Change(deleted=[name for name in old if name not in new])
    for name, card in new.items():
        if name not in old or old[name].get("view") != card.get("view"):
            result.created[name] = card
            continue
        try:
            result.updates.extend((name, path, value) for path, value in _properties(old[name], card, ()))
        except _AnewError:
            result.created[name] = card
    return result


class _AnewError(Exception):
    """This card cannot be changed in place."""


def _properties(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key in [*new, *(key for key in old if key not in new)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Data) or isinstance(after, Data):
            yield from _buffer(before, after, (*path, key))
        elif before == after and type(before) is type(after):
            continue
        elif key in COMPONENT_LISTS and _same_components(before, after):
            for index, (one, other) in enumerate(zip(before or (), after or (), strict=True)):
                yield from _component(one, other, (*path, key, index))
        else:
            yield (*path, key), after


def _component(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """A component is {kind: {properties}}; things like tabs and nav items are flat."""
    if len(old) == 1 and isinstance(next(iter(old.values())), dict):
        (kind,) = old
        yield from _properties(old[kind], new[kind], (*path, kind))
    else:
        yield from _properties(old, new, path)


def _same_components(old: Any, new: Any) -> bool:
    """True when both hold components of the same kinds and names at the same places."""
    if not isinstance(old, Sequence) or not isinstance(new, Sequence) or len(old) != len(new):
        return False
    return all(_identity(one) == _identity(other) for one, other in zip(old, new, strict=True))


def _identity(component: Any) -> tuple[Any, ...]:
    if isinstance(component, dict) and len(component) == 1:
        ((kind, properties),) = component.items()
        if isinstance(properties, dict):
            return (kind, properties.get("name"))
    return ("", component.get("name")) if isinstance(component, dict) else ("", component)


def _buffer(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """A list buffer (the messages of a chat): changed rows by index, new rows appended."""
    if not isinstance(old, Data) or not isinstance(new, Data) or old.fields != new.fields or new.type != "list":
        raise _AnewError
    before, after = old.data or [], new.data or []
    if len(after) < len(before) or (after and not before):
        raise _AnewError
    for index, row in enumerate(before):
        if row != after[index]:
            yield (*path, index), after[index]
    for row in after[len(before) :]:
        yield (*path, "__append__"), row


def components(dump: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every component in a card, dialog or list of items: (kind, properties), the outer before the inner."""
    if isinstance(dump, Mapping):
        for key, value in dump.items():
            if key in COMPONENT_LISTS and isinstance(value, Sequence):
                for item in value:
                    if isinstance(item, dict) and len(item) == 1 and isinstance(next(iter(item.values())), dict):
                        ((kind, properties),) = item.items()
                        yield kind, properties
                        yield from components(properties)
            elif isinstance(value, Mapping):
                yield from components(value)


def take_value(properties: dict[str, Any], value: Any) -> None:
    """Note in a dump what the user entered, since the browser shows that now.

    An input the page gave no value is left alone: the page does not control it, so nothing will reset it.
    """
    key = "values" if isinstance(value, list) else "value"
    if key in properties:
        properties[key] = value
