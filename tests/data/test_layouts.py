"""Rows become conversations, and rows that do not fit say why."""

import json
from typing import Any

import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data.formats import conversations, instruction, labelled, messages, preference, text
from llm_studio.data.types import Conversation, Message, RowError


def said(conversation: Conversation) -> list[tuple[str, str, bool]]:
    return [(one.role, one.content, one.learned) for one in conversation.messages]


def test_empty_prompt_columns_leave_no_separator_behind() -> None:
    settings = DatasetSettings(prompt_column=("instruction", "input"), answer_column="output")
    row = {"instruction": "Do it.", "input": "", "output": "Done."}
    expected = (Message("user", "Do it."), Message("assistant", "Done.", learned=True))
    assert instruction.conversation(0, row, settings) == Conversation(0, expected)
    assert instruction.conversation(0, {**row, "input": None}, settings).messages == expected
    assert instruction.conversation(0, {**row, "input": "x"}, settings).messages[0].content == "Do it.\n\nx"


def test_system_text_comes_first_where_there_is_any() -> None:
    settings = DatasetSettings(prompt_column=("q",), answer_column="a", system_column="s")
    with_text = instruction.conversation(0, {"q": "x", "a": "y", "s": "z"}, settings)
    without = instruction.conversation(0, {"q": "x", "a": "y", "s": None}, settings)
    assert [one.role for one in with_text.messages] == ["system", "user", "assistant"]
    assert [one.role for one in without.messages] == ["user", "assistant"]


@pytest.mark.parametrize(("answer", "reason"), [(None, "the answer is missing"), (" \n", "the answer is empty")])
def test_rows_without_an_answer_are_refused_with_the_column(answer: str | None, reason: str) -> None:
    settings = DatasetSettings(prompt_column=("q",), answer_column="a")
    with pytest.raises(RowError, match=reason) as caught:
        instruction.conversation(0, {"q": "x", "a": answer}, settings)
    assert caught.value.column == "a"


MESSAGES = DatasetSettings(layout="messages", messages_column="messages", tools_column="tools")
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Ulm"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_messages(value: object, tools: object = "") -> Conversation:
    return messages.conversation(0, {"messages": cell(value), "tools": cell(tools)}, MESSAGES)


def test_openai_messages_with_text_and_with_parts_are_read() -> None:
    parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]
    read = read_messages(
        [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": parts, "name": "ann"},
            {"role": "assistant", "content": "Hi", "weight": 0},
            {"role": "user", "content": "Again"},
            {"role": "assistant", "content": "Hi again", "name": None, "weight": 1},
        ]
    )
    assert read.messages == (
        Message("system", "Be kind."),
        Message("user", "Hello there", name="ann"),
        Message("assistant", "Hi", learned=False),
        Message("user", "Again"),
        Message("assistant", "Hi again", learned=True),
    )


def test_tool_calls_and_their_results_are_kept_and_a_bare_call_is_learned() -> None:
    read = read_messages(
        [
            {"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "dry"},
        ],
        [TOOL],
    )
    _, call, result = read.messages
    assert (call.content, call.learned, json.loads(call.tool_calls)) == ("", True, [CALL])
    assert (result.content, result.name, result.tool_call_id) == ("dry", "weather", "c1")
    assert json.loads(read.tools) == [TOOL]
    assert hash(read)


def test_the_older_function_call_and_bare_schemas_take_the_newer_form() -> None:
    function = {"name": "weather", "arguments": "{}"}
    read = read_messages(
        [{"role": "assistant", "content": "", "function_call": function}, {"role": "function", "name": "weather"}],
        [{"name": "weather"}],
    )
    assert json.loads(read.messages[0].tool_calls) == [{"type": "function", "function": function}]
    assert (read.messages[1].role, read.messages[1].content) == ("tool", "")
    assert json.loads(read.tools) == [{"type": "function", "function": {"name": "weather"}}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("hello", "the value is text, not a list of messages"),
        ("[" * 5000, "the value is text, not a list of messages"),
        ({"role": "user"}, "not a list of messages"),
        ([], "the list of messages is empty"),
        (["hello"], "message 1 is not an object with role and content"),
        ([{"content": "x"}], "message 1 has no role"),
        ([{"role": ["x"], "content": "x"}], "message 1 has the unknown role"),
        ([{"role": "bot", "content": "x"}], "message 1 has the unknown role 'bot'; roles are system"),
        ([{"from": "human", "value": "x"}], "ShareGPT"),
        ([{"role": "user", "content": 5}], "message 1 has no text in 'content'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "a part of type 'image_url'; only text is read"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [1]}], "message 2 has a tool call"),
        ([{"role": "assistant", "content": None, "tool_calls": "x"}], "'tool_calls' that are not a list"),
        ([{"role": "assistant", "content": "x", "weight": 0.5}], "message 1 has the weight 0.5; only 0"),
        ([{"role": "user", "content": "x", "name": 1}], "message 1 has a 'name' that is not text"),
        ([{"role": "user", "content": "x"}], "there is no answer"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}], "there is no answer"),
    ],
)
def test_rows_that_are_no_conversation_say_why(value: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        read_messages(value)
    assert reason in caught.value.reason
    assert caught.value.column == "messages"


@pytest.mark.parametrize("tools", ["call me", 5, ["weather"]])
def test_tools_that_are_no_list_of_schemas_are_refused_with_their_column(tools: object) -> None:
    with pytest.raises(RowError, match="not a JSON list of tools") as caught:
        read_messages([{"role": "assistant", "content": "x"}], tools)
    assert caught.value.column == "tools"


SHAREGPT = DatasetSettings(layout="conversations", messages_column="c", system_column="s", tools_column="t")


def read_sharegpt(value: object, system: str | None = None, tools: str | None = None) -> Conversation:
    return conversations.conversation(0, {"c": cell(value), "s": system, "t": tools}, SHAREGPT)


def test_sharegpt_speakers_system_and_tools_are_read() -> None:
    value = [
        {"from": "human", "value": "Rain?"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "observation", "value": "dry"},
        {"from": "gpt", "value": "No.", "weight": 0},
        {"from": "user", "value": "Sure?"},
        {"from": "chatgpt", "value": "Yes."},
    ]
    read = read_sharegpt(value, "Be brief.", json.dumps([TOOL]))
    assert said(read) == [
        ("system", "Be brief.", False),
        ("user", "Rain?", False),
        ("assistant", "", True),
        ("tool", "dry", False),
        ("assistant", "No.", False),
        ("user", "Sure?", False),
        ("assistant", "Yes.", True),
    ]
    assert json.loads(read.messages[2].tool_calls)[0]["function"]["name"] == "weather"
    assert json.loads(read.tools) == [TOOL]


def test_a_system_message_of_the_list_stays_the_only_one() -> None:
    value = [{"from": "system", "value": "Own."}, {"from": "gpt", "value": "x"}]
    assert [one.content for one in read_sharegpt(value, "Column.").messages] == ["Own.", "x"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([{"role": "user", "content": "x"}], "message 1 has 'role' and 'content' instead of 'from' and 'value'"),
        ([{"from": "gpt", "value": "x"}, {"from": "owl", "value": "x"}], "message 2 is from 'owl', who is not known"),
        ([{"value": "x"}], "message 1 has no 'from'"),
        ([{"from": "gpt", "value": None}], "message 1 has no text in 'value'"),
        ([{"from": "function_call", "value": "go"}], "message 1 is a function call that is not JSON"),
        ([{"from": "function_call", "value": "{}"}], "message 1 has a tool call without the name of a function"),
        (["x"], "message 1 is not an object with from and value"),
        ([{"from": "human", "value": "x"}], "there is no answer"),
    ],
)
def test_sharegpt_rows_that_do_not_fit_say_which_message_and_why(value: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        read_sharegpt(value)
    assert reason in caught.value.reason and caught.value.column == "c"


PREFERENCE = DatasetSettings(
    layout="preference", prompt_column=("p",), messages_column="m", answer_column="good", rejected_answer_column="bad"
)


def preferred(**row: Any) -> Conversation:
    return preference.conversation(0, {name: cell(value) for name, value in row.items()}, made_for(row))


def made_for(row: dict[str, Any]) -> DatasetSettings:
    without = {"m": {"messages_column": ""}, "p": {"prompt_column": ()}, "bad": {"rejected_answer_column": ""}}
    changes = {name: value for key, change in without.items() if key not in row for name, value in change.items()}
    wanted = {"wanted_column": "label"} if "label" in row else {}
    return DatasetSettings.model_validate({**PREFERENCE.model_dump(), **changes, **wanted})


def test_chosen_is_learned_and_rejected_is_kept_in_all_their_shapes() -> None:
    expected = [("user", "Why?", False), ("assistant", "So.", True)]
    user, good = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
    bad, human = {"role": "assistant", "content": "No."}, {"from": "human", "value": "Why?"}
    shapes: list[dict[str, Any]] = [
        {"p": "Why?", "good": "So.", "bad": "No."},
        {"p": "Why?", "good": [user, good], "bad": [user, bad]},
        {"good": [user, good], "bad": [user, bad]},
        {"p": "Why?", "good": [good], "bad": [bad]},
        {"m": [user], "good": [good], "bad": "No."},
        {"m": [human], "good": {"from": "gpt", "value": "So."}, "bad": {"from": "gpt", "value": "No."}},
        {"m": [user], "good": good, "bad": bad},
    ]
    for shape in shapes:
        read = preferred(**shape)
        assert (said(read), read.rejected) == (expected, "No."), shape


def test_answers_before_the_chosen_one_are_not_learned() -> None:
    before = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]
    assert [one.learned for one in preferred(m=before, good="d", bad="e").messages] == [False, False, False, True]


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ({"p": "x", "good": "", "bad": "y"}, "good", "the chosen answer is empty"),
        ({"p": "x", "good": "y", "bad": " "}, "bad", "the rejected answer is empty"),
        ({"good": [{"role": "user", "content": "x"}], "bad": "y"}, "good", "is not the assistant's"),
        ({"good": {"from": "owl", "value": "x"}, "bad": "y"}, "good", "the value is from 'owl'"),
        ({"m": "x", "good": "y", "bad": "z"}, "m", "the value is text, not a list of messages"),
        ({"p": "x", "good": "y", "label": "False"}, "label", "the answer is labelled as not wanted"),
        ({"p": "x", "good": "y", "label": "perhaps"}, "label", "the label is neither true nor false"),
        ({"p": "x", "good": "y", "label": ""}, "label", "the label is missing"),
    ],
)
def test_preference_rows_that_do_not_fit_say_why(row: dict[str, Any], column: str, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        preferred(**row)
    assert caught.value.column == column and reason in caught.value.reason


def test_a_wanted_answer_is_learned() -> None:
    assert said(preferred(p="x", good="y", label="true"))[-1] == ("assistant", "y", True)


def test_one_label_is_its_text_and_several_are_json_in_the_chosen_order() -> None:
    row = {"t": "Fine film.", "mood": " good ", "stars": "4", "code": "007"}
    one = DatasetSettings(layout="labelled", prompt_column=("t",), label_column=("mood",))
    several = DatasetSettings(layout="labelled", prompt_column=("t",), label_column=("stars", "code", "mood"))
    assert said(labelled.conversation(0, row, one))[-1] == ("assistant", "good", True)
    answer = labelled.conversation(0, row, several).messages[-1].content
    assert answer == '{"stars": 4, "code": "007", "mood": "good"}'
    with pytest.raises(RowError, match="the label is missing") as caught:
        labelled.conversation(0, {**row, "code": None}, several)
    assert caught.value.column == "code"
    with pytest.raises(RowError, match="the text is missing or empty"):
        labelled.conversation(0, {**row, "t": " "}, several)


def test_a_document_is_learned_whole_and_marked_as_plain() -> None:
    settings = DatasetSettings(layout="text", text_column="t")
    read = text.conversation(3, {"t": " Once upon a time\n"}, settings)
    assert read == Conversation(3, (Message("assistant", " Once upon a time\n", learned=True),), plain=True)
