"""Rows become messages, layouts and columns are guessed with a reason, and rows that do not fit say why."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data.dataset import Table
from llm_studio.data.formats import instruction, messages
from llm_studio.data.guess import guess_layout
from llm_studio.data.reading import read_file
from llm_studio.data.types import Cells, Column, Guess, Message, RowError


def texts(*names: str) -> list[Column]:
    return [Column(name, "text") for name in names]


def guessed(row: dict[str, str | None], *columns: Column) -> Guess:
    rows: list[Cells] = [row]
    return guess_layout(columns or texts(*row), rows)


def test_empty_prompt_columns_leave_no_separator_behind() -> None:
    settings = DatasetSettings(prompt_column=("instruction", "input"), answer_column="output")
    row = {"instruction": "Do it.", "input": "", "output": "Done."}
    expected = (Message("user", "Do it."), Message("assistant", "Done.", learned=True))
    assert instruction.messages(row, settings) == expected
    assert instruction.messages({**row, "input": None}, settings) == expected
    assert instruction.messages({**row, "input": "x"}, settings)[0].content == "Do it.\n\nx"


def test_system_text_comes_first_where_there_is_any() -> None:
    settings = DatasetSettings(prompt_column=("q",), answer_column="a", system_column="s")
    assert [one.role for one in instruction.messages({"q": "x", "a": "y", "s": "z"}, settings)] == [
        "system",
        "user",
        "assistant",
    ]
    assert [one.role for one in instruction.messages({"q": "x", "a": "y", "s": None}, settings)] == [
        "user",
        "assistant",
    ]


@pytest.mark.parametrize(("answer", "reason"), [(None, "the answer is missing"), (" \n", "the answer is empty")])
def test_rows_without_an_answer_are_refused_with_the_column(answer: str | None, reason: str) -> None:
    settings = DatasetSettings(prompt_column=("q",), answer_column="a")
    with pytest.raises(RowError, match=reason) as caught:
        instruction.messages({"q": "x", "a": answer}, settings)
    assert caught.value.column == "a"


MESSAGES = DatasetSettings(layout="messages", messages_column="messages")


def read_messages(value: object) -> tuple[Message, ...]:
    return messages.messages({"messages": value if isinstance(value, str) else json.dumps(value)}, MESSAGES)


def test_openai_messages_with_text_and_with_parts_are_read() -> None:
    parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]
    read = read_messages(
        [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": "Hi", "weight": 0},
            {"role": "user", "content": "Again"},
            {"role": "assistant", "content": "Hi again", "name": None},
        ]
    )
    assert read == (
        Message("system", "Be kind."),
        Message("user", "Hello there"),
        Message("assistant", "Hi", learned=False),
        Message("user", "Again"),
        Message("assistant", "Hi again", learned=True),
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("hello", "the value is text, not a list of messages"),
        ({"role": "user"}, "not a list of messages"),
        ([], "the list of messages is empty"),
        (["hello"], "message 1 is not an object with role and content"),
        ([{"content": "x"}], "message 1 has no role"),
        ([{"role": "bot", "content": "x"}], "message 1 has the unknown role 'bot'; roles are system"),
        ([{"from": "human", "value": "x"}], "ShareGPT"),
        ([{"role": "user", "content": 5}], "message 1 has no text in 'content'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "a part of type 'image_url'; only text is read"),
        ([{"role": "assistant", "content": None, "tool_calls": [1]}], "tool calls instead of text"),
        ([{"role": "user", "content": "x"}], "there is no answer"),
    ],
)
def test_rows_that_are_no_conversation_say_why(value: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        read_messages(value)
    assert reason in caught.value.reason
    assert caught.value.column == "messages"


def test_familiar_names_are_recognised_in_any_letter_case() -> None:
    found = guessed({"Question": "x", "Answer": "y", "System": "z"})
    assert found.settings == {
        "layout": "instruction",
        "prompt_column": ("Question",),
        "answer_column": "Answer",
        "system_column": "System",
    }
    assert "“Question” and “Answer” are familiar names" in found.reason
    assert "“System” holds the system text" in found.reason


def test_unfamiliar_columns_take_the_last_text_as_answer_and_say_so() -> None:
    found = guessed({"id": "1", "left": "x", "right": "y"}, Column("id", "number"), *texts("left", "right"))
    assert (found.settings["prompt_column"], found.settings["answer_column"]) == (("left",), "right")
    assert "No column has a familiar name" in found.reason


def test_one_text_column_is_text_without_a_prompt() -> None:
    found = guessed({"text": "Once upon a time"})
    assert (found.settings["prompt_column"], found.settings["answer_column"]) == ((), "text")
    assert "without a prompt" in found.reason


def test_messages_are_found_under_any_name_also_as_text_of_a_csv() -> None:
    cell = '[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]'
    found = guessed({"id": "1", "talk": cell})
    assert found.settings == {"layout": "messages", "messages_column": "talk"}
    assert found.reason == "“talk” holds lists of {role, content}: one conversation per row."


def test_a_layout_that_is_not_read_yet_is_called_by_its_name() -> None:
    cell = '[{"from": "human", "value": "x"}]'
    found = guessed({"conversations": cell}, Column("conversations", "list"))
    assert "ShareGPT" in found.reason and found.certainty == 0


def test_no_text_at_all_asks_the_user() -> None:
    assert "Choose the columns yourself" in guessed({"n": "1"}, Column("n", "number")).reason


@pytest.mark.parametrize(
    ("name", "prompts", "answer"),
    [
        ("alpaca_en_demo.json", ("instruction", "input"), "output"),
        ("gsm8k_train.jsonl", ("question",), "answer"),
    ],
)
def test_real_files_need_no_correction(
    name: str, prompts: tuple[str, ...], answer: str, shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    reading = read_file(shared_file(name), name, tmp_path / "rows.parquet", lambda share, words: None)
    rows = [cells for _, cells in Table(tmp_path / "rows.parquet").take(range(50))]
    found = guess_layout(reading.columns, rows)
    assert (found.settings["prompt_column"], found.settings["answer_column"]) == (prompts, answer)
    settings = DatasetSettings.model_validate(found.settings)
    for _, cells in Table(tmp_path / "rows.parquet").take(range(reading.row_count)):
        user, assistant = instruction.messages(cells, settings)
        assert user.content == "\n\n".join(part for part in (cells[column] for column in prompts) if part)
        assert assistant.content == cells[answer]
