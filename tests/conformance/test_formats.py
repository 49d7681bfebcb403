"""What every row layout of the catalog promises."""

import pytest

from llm_studio.catalog.formats import FORMATS
from llm_studio.config import DatasetSettings
from llm_studio.data.layouts import Layout, all_layouts, layout_of
from llm_studio.data.types import Cells, Column, RowError

CELL = '[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]'
GOOD: dict[str, Cells] = {
    "instruction": {"question": "Why?", "answer": "Because."},
    "messages": {"messages": CELL},
}


@pytest.fixture(params=all_layouts(), ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> Layout:
    found: Layout = request.param
    return found


def settings_of(layout: Layout) -> DatasetSettings:
    row = GOOD[layout.name]
    kinds = {name: "list" if (value or "").startswith("[") else "text" for name, value in row.items()}
    guess = layout.guess([Column(name, kind) for name, kind in kinds.items()], [row])  # type: ignore[arg-type]
    assert guess is not None
    return DatasetSettings.model_validate(guess.settings)


def test_recognises_its_own_rows_and_says_why(layout: Layout) -> None:
    row = GOOD[layout.name]
    guess = layout.guess([Column(name, "text") for name in row], [row])
    assert guess is not None and guess.layout == layout.name
    assert 0 <= guess.certainty <= 1
    assert guess.reason.endswith(".") and len(guess.reason) > 20
    assert layout_of(settings_of(layout)).name == layout.name


def test_turns_a_row_into_messages_of_which_the_answer_is_learned(layout: Layout) -> None:
    messages = layout.messages(GOOD[layout.name], settings_of(layout))
    assert [(one.role, one.content, one.learned) for one in messages] == [
        ("user", "Why?", False),
        ("assistant", "Because.", True),
    ]


def test_reads_only_the_columns_that_it_names(layout: Layout) -> None:
    settings = settings_of(layout)
    named = layout.columns(settings)
    assert set(named) <= set(GOOD[layout.name]) and len(set(named)) == len(named)
    kept = {name: GOOD[layout.name][name] for name in named}
    assert layout.messages(kept, settings) == layout.messages(GOOD[layout.name], settings)


def test_a_row_without_values_is_an_error_with_its_column_and_reason(layout: Layout) -> None:
    settings = settings_of(layout)
    with pytest.raises(RowError) as caught:
        layout.messages(dict.fromkeys(GOOD[layout.name]), settings)
    assert caught.value.column in layout.columns(settings)
    assert caught.value.reason and not caught.value.reason.endswith(".")


def test_guesses_nothing_for_a_table_without_text(layout: Layout) -> None:
    assert layout.guess([Column("n", "number")], [{"n": "1"}]) is None


def test_every_layout_has_words_for_the_user() -> None:
    assert all(entry.title and entry.help.endswith(".") for entry in FORMATS)
    assert set(GOOD) == {entry.name for entry in FORMATS}
