"""What every row layout of the catalog promises."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_studio.catalog.formats import FORMATS
from llm_studio.config import DatasetSettings
from llm_studio.data.checking import check_columns, scan
from llm_studio.data.dataset import Table, conversations_of
from llm_studio.data.guess import guess_layout
from llm_studio.data.layouts import Layout, all_layouts, layout_of
from llm_studio.data.types import Cells, Column, ColumnKind, Conversation
from llm_studio.errors import UserError

MESSAGES = '[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]'
SHAREGPT = '[{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]'
GOOD: dict[str, Cells] = {
    "instruction": {"question": "Why?", "answer": "Because."},
    "messages": {"messages": MESSAGES},
    "conversations": {"conversations": SHAREGPT},
    "threads": {"id": "1", "parent_id": "", "question": "Why?", "answer": "Because."},
    "preference": {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    "labelled": {"text": "Why?", "label": "Because."},
    "text": {"text": "Because."},
}
FOLLOWING: Cells = {"id": "2", "parent_id": "1", "question": "Why?", "answer": "Because."}


@pytest.fixture(params=all_layouts(), ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> Layout:
    found: Layout = request.param
    return found


def rows_of(layout: Layout) -> list[Cells]:
    return [GOOD[layout.name], *([FOLLOWING] if layout.name == "threads" else [])]


def kind_of(value: str | None) -> ColumnKind:
    return "list" if (value or "").startswith("[") else "text"


def columns_of(layout: Layout) -> list[Column]:
    return [Column(name, kind_of(value)) for name, value in GOOD[layout.name].items()]


def settings_of(layout: Layout) -> DatasetSettings:
    guess = layout.guess(columns_of(layout), rows_of(layout))
    assert guess is not None
    return DatasetSettings.model_validate(guess.settings)


def table(folder: Path, rows: list[Cells]) -> Table:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return Table(folder / "rows.parquet")


def read(folder: Path, rows: list[Cells], settings: DatasetSettings) -> list[Conversation]:
    return list(conversations_of(table(folder, rows), range(len(rows)), settings))


def test_recognises_its_own_rows_and_says_why(layout: Layout) -> None:
    guess = guess_layout(columns_of(layout), rows_of(layout))
    assert guess.layout == layout.name
    assert 0 <= guess.certainty <= 1
    assert guess.reason.endswith(".") and len(guess.reason) > 20
    assert layout_of(settings_of(layout)).name == layout.name


def test_its_guess_passes_the_check_of_columns(layout: Layout) -> None:
    check_columns(settings_of(layout), tuple(GOOD[layout.name]))


def test_a_needed_column_that_is_not_chosen_is_named(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"^No .+ is chosen\.") as caught:
        check_columns(DatasetSettings(layout=layout.name), tuple(GOOD[layout.name]))
    assert caught.value.where.endswith(("column", "columns")) and caught.value.fix.startswith("Choose one of")


def test_turns_a_row_into_messages_of_which_the_answer_is_learned(layout: Layout, tmp_path: Path) -> None:
    found = read(tmp_path, [GOOD[layout.name]], settings_of(layout))
    said = [(one.role, one.content, one.learned) for one in found[0].messages]
    assert said[-1] == ("assistant", "Because.", True)
    assert said[:-1] == ([] if layout.name == "text" else [("user", "Why?", False)])
    assert found[0].row == 0 and found[0].plain == (layout.name == "text")


def test_reads_only_the_columns_that_it_names(layout: Layout, tmp_path: Path) -> None:
    settings = settings_of(layout)
    named = layout.columns(settings)
    assert set(named) <= set(GOOD[layout.name]) and len(set(named)) == len(named)
    kept = {name: GOOD[layout.name][name] for name in named}
    assert read(tmp_path, [kept], settings) == read(tmp_path, [GOOD[layout.name]], settings)


def test_a_row_without_values_is_a_problem_with_its_column_and_reason(layout: Layout, tmp_path: Path) -> None:
    settings = settings_of(layout)
    rows = [dict.fromkeys(GOOD[layout.name]), GOOD[layout.name]]
    checked = scan(table(tmp_path, rows), settings)
    assert checked.usable.tolist() == [False, True]
    (problem,) = checked.problems
    assert (problem.severity, problem.count, problem.rows) == ("leaves out", 1, (0,))
    assert problem.column in layout.columns(settings)
    assert problem.what and not problem.what.endswith(".")
    assert [one.row for one in read(tmp_path, rows, settings)] == [1]


def test_the_scan_agrees_with_the_conversations(layout: Layout, tmp_path: Path) -> None:
    settings = settings_of(layout)
    rows = [{name: f"{value}".replace("Why?", f"Why {n}?") for name, value in GOOD[layout.name].items()} for n in "aAb"]
    rows = [{**row, "id": str(n), "text": f"{row.get('text')} {'aAb'[n]}"} for n, row in enumerate(rows)]
    checked = scan(table(tmp_path, rows), settings)
    assert checked.usable.all() and not checked.problems and not checked.inner.any()
    assert checked.prompts[0] == checked.prompts[1] != checked.prompts[2]
    assert len(read(tmp_path, rows, settings)) == 3


def test_a_scan_stops_at_the_limit_and_tells_how_far_it_is(layout: Layout, tmp_path: Path) -> None:
    rows = [{**GOOD[layout.name], "id": str(number)} for number in range(5000)]
    told: list[int] = []
    checked = scan(table(tmp_path, rows), settings_of(layout), limit=3000, tell=told.append)
    assert len(checked.usable) == len(checked.prompts) == len(checked.groups) == len(checked.inner) == 3000
    assert told[-1] == 3000 and told == sorted(told)


def test_guesses_nothing_for_a_table_without_text(layout: Layout) -> None:
    assert layout.guess([Column("n", "number")], [{"n": "1"}]) is None


def test_every_layout_has_words_for_the_user() -> None:
    assert all(entry.title and entry.help.endswith(".") for entry in FORMATS)
    assert set(GOOD) == {entry.name for entry in FORMATS}
