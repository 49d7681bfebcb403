"""Differences of cards: as small as possible, and always enough to make the old cards into the new ones."""

import copy
from typing import Any

from h2o_wave import data, ui
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.ui import diff
from llm_studio.ui.tab import _orders


def card(*items: Any) -> dict[str, Any]:
    dump: dict[str, Any] = ui.form_card(box="main", items=list(items)).dump()
    return dump


def test_equal_cards_need_no_change() -> None:
    assert not diff.changes({"a": card(ui.text("x", name="t"))}, {"a": card(ui.text("x", name="t"))})


def test_one_property_is_one_update_by_its_path() -> None:
    change = diff.changes({"a": card(ui.text("x", name="t"))}, {"a": card(ui.text("y", name="t"))})
    assert change.updates == [("a", ("items", 0, "text", "content"), "y")] and not change.created


def test_components_inside_components_are_reached() -> None:
    old = card(ui.inline(items=[ui.button(name="b", label="B"), ui.expander(name="e", items=[ui.text("x", name="t")])]))
    new = copy.deepcopy(old)
    new["items"][0]["inline"]["items"][1]["expander"]["items"][0]["text"]["content"] = "y"
    (update,) = diff.changes({"a": old}, {"a": new}).updates
    assert update == ("a", ("items", 0, "inline", "items", 1, "expander", "items", 0, "text", "content"), "y")


def test_rows_of_a_table_are_replaced_as_a_whole() -> None:
    """A table notices new rows only by the list itself."""

    def rows(word: str) -> dict[str, Any]:
        columns = [ui.table_column("c", "C")]
        return card(ui.table(name="t", columns=columns, rows=[ui.table_row("r", [word])]))

    (update,) = diff.changes({"a": rows("x")}, {"a": rows("y")}).updates
    assert update == ("a", ("items", 0, "table", "rows"), [{"name": "r", "cells": ["y"]}])


def test_another_order_or_number_of_components_replaces_their_list() -> None:
    old, new = card(ui.text("x", name="a"), ui.text("y", name="b")), card(ui.text("y", name="b"))
    (update,) = diff.changes({"a": old}, {"a": new}).updates
    assert update == ("a", ("items",), new["items"])


def test_a_property_that_goes_away_is_set_to_nothing() -> None:
    old, new = card(ui.textbox(name="t", error="bad")), card(ui.textbox(name="t"))
    assert diff.changes({"a": old}, {"a": new}).updates == [("a", ("items", 0, "textbox", "error"), None)]


def test_cards_come_and_go_and_change_their_kind() -> None:
    one, other = card(ui.text("x")), ui.markup_card(box="main", title="", content="x").dump()
    change = diff.changes({"a": one, "b": one}, {"b": other, "c": one})
    assert change.deleted == ["a"] and set(change.created) == {"b", "c"}


def test_messages_of_a_chat_are_changed_by_index_and_appended() -> None:
    def chat(*rows: list[Any]) -> dict[str, Any]:
        dump: dict[str, Any] = ui.chatbot_card(
            box="main", name="c", data=data("content from_user", t="list", rows=list(rows))
        ).dump()
        return dump

    old, new = chat(["hi", True], ["he", False]), chat(["hi", True], ["hello", False], ["more", True])
    assert diff.changes({"a": old}, {"a": new}).updates == [
        ("a", ("data", 1), ["hello", False]),
        ("a", ("data", "__append__"), ["more", True]),
    ]
    assert set(diff.changes({"a": new}, {"a": old}).created) == {"a"}


texts = st.text("abc", max_size=2)
components = st.recursive(
    st.builds(lambda name, words: {"text": {"name": name, "content": words}}, texts, texts)
    | st.builds(lambda name, words, error: {"textbox": {"name": name, "value": words, **error}}, texts, texts,
                st.sampled_from([{}, {"error": "no"}])),
    lambda inner: st.builds(lambda items: {"inline": {"items": items}}, st.lists(inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
cards_ = st.dictionaries(
    st.sampled_from("pqr"), st.builds(lambda items: {"view": "form", "items": items}, st.lists(components, max_size=4))
)


def apply(cards: dict[str, Any], change: diff.Change) -> dict[str, Any]:
    """What a browser does with a change."""
    result = copy.deepcopy(cards)
    for name in change.deleted:
        del result[name]
    result |= copy.deepcopy(change.created)
    for name, path, value in change.updates:
        place: Any = result[name]
        for key in path[:-1]:
            place = place[key]
        if value is None:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = copy.deepcopy(value)
    return result


@settings(max_examples=300, deadline=None)
@given(cards_, cards_)
def test_any_change_leads_from_the_old_cards_to_the_new_ones(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply(old, diff.changes(old, new)) == new


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef"), unique=True))
def test_places_follow_the_order_of_cards_and_kept_cards_keep_theirs(first: list[str], second: list[str]) -> None:
    old = _orders({}, dict.fromkeys(first, "main"))
    new = _orders(old, dict.fromkeys(second, "main"))
    assert sorted(new, key=lambda name: new[name][1]) == second
    kept = [name for name in second if name in old]
    if kept == [name for name in first if name in new]:
        assert all(new[name] == old[name] for name in kept)


def test_a_value_the_user_entered_is_not_sent_back_to_him() -> None:
    properties = {"name": "t", "value": ""}
    diff.take_value(properties, "typed")
    assert properties["value"] == "typed"
    free: dict[str, Any] = {"name": "t"}
    diff.take_value(free, "typed")
    assert free == {"name": "t"}
