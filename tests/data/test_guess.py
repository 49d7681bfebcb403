"""Layout and columns are guessed with a reason in words, and the guess does not misfire on tables that look alike."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import check_columns, scan
from llm_studio.data.dataset import Table, conversations_of
from llm_studio.data.guess import guess_layout
from llm_studio.data.layouts import with_fitting_layout
from llm_studio.data.reading import read_file
from llm_studio.data.types import Cells, Column, ColumnKind, Guess

LONG = "A text of some length about something or other, number "


def guessed(rows: list[Cells], **kinds: ColumnKind) -> Guess:
    names = dict.fromkeys(name for row in rows for name in row)
    return guess_layout([Column(name, kinds.get(name, "text")) for name in names], rows)


def many(*, rows: int = 50, **columns: Callable[[int], str]) -> list[Cells]:
    return [{name: make(number) for name, make in columns.items()} for number in range(rows)]


def long(number: int) -> str:
    return f"{LONG}{number}."


def test_familiar_names_are_recognised_in_any_letter_case() -> None:
    found = guessed([{"Question": "x", "Answer": "y", "System": "z"}])
    assert found.settings == {
        "layout": "instruction",
        "prompt_column": ("Question",),
        "answer_column": "Answer",
        "system_column": "System",
    }
    assert "“Question” and “Answer” are familiar names" in found.reason
    assert "“System” holds the system text" in found.reason


def test_unfamiliar_columns_take_the_last_text_as_answer_and_say_so() -> None:
    found = guessed([{"id": "1", "left": "x", "right": "y"}], id="number")
    assert (found.settings["prompt_column"], found.settings["answer_column"]) == (("left",), "right")
    assert "No column has a familiar name" in found.reason


def test_one_text_column_is_text_without_a_prompt() -> None:
    found = guessed([{"text": "Once upon a time", "n": "1"}], n="number")
    assert found.settings == {"layout": "text", "text_column": "text"}
    assert "without a prompt" in found.reason


def test_text_beside_titles_and_addresses_is_text() -> None:
    found = guessed(many(url=lambda n: f"page{n}", title=lambda n: f"Title {n}", text=long))
    assert found.settings == {"layout": "text", "text_column": "text"}


def test_messages_are_found_under_any_name_also_as_text_of_a_csv() -> None:
    cell = '[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]'
    found = guessed([{"id": "1", "talk": cell}])
    assert found.settings == {"layout": "messages", "messages_column": "talk", "tools_column": ""}
    assert found.reason == "“talk” holds lists of {role, content}: one conversation per row."


def test_a_tools_column_beside_messages_is_proposed() -> None:
    cell = '[{"role": "user", "content": "x"}]'
    found = guessed([{"messages": cell, "tools": '[{"name": "a"}]'}], messages="list", tools="list")
    assert found.settings["tools_column"] == "tools" and "“tools” holds the tools" in found.reason


def test_sharegpt_is_called_by_its_name() -> None:
    cell = '[{"from": "human", "value": "x"}]'
    found = guessed([{"conversations": cell, "system": "s"}], conversations="list")
    assert found.layout == "conversations" and found.settings["system_column"] == "system"
    assert found.reason.startswith("“conversations” holds lists of {from, value}: ShareGPT.")


def test_chosen_and_rejected_beside_a_conversation_are_preference() -> None:
    talk, answer = '[{"from": "human", "value": "x"}]', '{"from": "gpt", "value": "y"}'
    found = guessed([{"conversations": talk, "chosen": answer, "rejected": answer}], conversations="list")
    assert (found.layout, found.settings["messages_column"]) == ("preference", "conversations")
    assert "“chosen” and “rejected”" in found.reason


def test_a_true_or_false_label_beside_prompt_and_completion_is_preference() -> None:
    rows: list[Cells] = [{"prompt": "x", "completion": "y", "label": "true"}]
    assert guessed(rows, label="boolean").settings["wanted_column"] == "label"


def test_ids_and_parent_ids_that_meet_are_threads() -> None:
    rows = many(id=str, parent_id=lambda n: str(n - 1) if n % 3 else "", prompt=long, answer=long)
    found = guessed(rows, id="number", parent_id="number")
    assert (found.layout, found.settings["id_column"]) == ("threads", "id")
    assert "“parent_id” names rows by their “id”" in found.reason


def test_ids_that_are_no_thread_do_not_make_one() -> None:
    assert guessed(many(id=str, user_id=lambda n: str(n % 3), question=long, answer=long)).layout == "instruction"
    rows = many(id=str, parent_id=lambda n: f"category {n % 3}", question=long, answer=long)
    assert guessed(rows).layout == "instruction"


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("label", lambda n: str(n % 2), "number"),
        ("label", lambda n: "true", "boolean"),
        ("category", lambda n: ("qa", "chat")[n % 2], "text"),
        ("score", lambda n: str(n / 7), "number"),
        ("lang", lambda n: "en", "text"),
    ],
)
def test_an_alpaca_file_with_another_column_stays_one(name: str, make: Callable[[int], str], kind: ColumnKind) -> None:
    rows = many(instruction=long, input=lambda n: "", output=long, **{name: make})
    found = guessed(rows, **{name: kind})
    assert found.settings["answer_column"] == "output"
    assert found.settings["prompt_column"] == ("instruction", "input")


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("label", lambda n: str(n % 2), "number"),
        ("label", lambda n: f"intent {n % 40}", "text"),
        ("sentiment", lambda n: ("good", "bad", "so so")[n % 3], "text"),
        ("target", lambda n: str(n % 2), "number"),
        ("colour", lambda n: ("red", "blue")[n % 2], "text"),
        ("is_spam", lambda n: ("true", "false")[n % 2], "boolean"),
    ],
)
def test_few_short_values_beside_a_long_text_are_labels(
    name: str, make: Callable[[int], str], kind: ColumnKind
) -> None:
    found = guessed(many(id=str, text=long, **{name: make}), id="number", **{name: kind})
    assert found.layout == "labelled", found
    assert (found.settings["prompt_column"], found.settings["label_column"]) == (("text",), (name,))
    assert f"“{name}”" in found.reason and "“text” holds the text." in found.reason


def test_several_label_columns_are_proposed_together() -> None:
    rows = many(comment=long, rude=lambda n: str(n % 2), spam=lambda n: str(n % 3 // 2))
    assert guessed(rows, rude="number", spam="number").settings["label_column"] == ("rude", "spam")


@pytest.mark.parametrize(
    ("guess", "changes", "layout"),
    [
        ("labelled", {"answer_column": "label"}, "instruction"),
        ("text", {"prompt_column": ("q",), "answer_column": "a"}, "instruction"),
        ("instruction", {"parent_id_column": "p", "id_column": "i", "answer_column": "a"}, "threads"),
        ("instruction", {"rejected_answer_column": "r", "answer_column": "a"}, "preference"),
        ("preference", {"answer_column": "a"}, "preference"),
        ("labelled", {"parent_id_column": "", "validation_size": 3}, "labelled"),
        ("labelled", {"layout": "text", "answer_column": "a"}, "text"),
    ],
)
def test_columns_that_are_named_go_over_the_guessed_layout(guess: str, changes: dict[str, object], layout: str) -> None:
    assert with_fitting_layout({"layout": guess, **changes}, changes)["layout"] == layout


def test_no_text_at_all_asks_the_user() -> None:
    assert "Choose the columns yourself" in guessed([{"n": "1"}], n="number").reason


REAL = {
    "alpaca_en_demo.json": {
        "layout": "instruction",
        "prompt_column": ("instruction", "input"),
        "answer_column": "output",
    },
    "gsm8k_train.jsonl": {"layout": "instruction", "prompt_column": ("question",), "answer_column": "answer"},
    "dpo_en_demo.json": {
        "layout": "preference",
        "messages_column": "conversations",
        "answer_column": "chosen",
        "rejected_answer_column": "rejected",
    },
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_need_no_correction(name: str, shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    reading = read_file(shared_file(name), name, tmp_path / "rows.parquet", lambda share, words: None)
    table = Table(tmp_path / "rows.parquet")
    found = guess_layout(reading.columns, [cells for _, cells in table.take(range(50))])
    assert {key: found.settings[key] for key in REAL[name]} == REAL[name]
    settings = DatasetSettings.model_validate(found.settings)
    check_columns(settings, table.columns)
    checked = scan(table, settings)
    read = list(conversations_of(table, range(reading.row_count), settings))
    assert checked.problems == () and checked.usable.all() and len(read) == reading.row_count
    for conversation, (_, cells) in zip(read, table.take(range(reading.row_count)), strict=True):
        answer = cells[str(found.settings["answer_column"])] or ""
        if name == "dpo_en_demo.json":
            assert conversation.rejected == json.loads(cells["rejected"] or "")["value"]
            answer = json.loads(answer)["value"]
        assert conversation.messages[-1].content == answer
        assert [one.learned for one in conversation.messages][-2:] == [False, True]
