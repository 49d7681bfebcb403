"""Threads: chains from the first row to each last one, whatever the order of the rows, and what is broken is said."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import Scan, scan
from llm_studio.data.conversations import conversation_at
from llm_studio.data.dataset import Table, conversations_of
from llm_studio.data.links import LONGEST_THREAD, Links, link
from llm_studio.data.types import RowError
from llm_studio.errors import UserError

SETTINGS = DatasetSettings(
    layout="threads",
    id_column="id",
    parent_id_column="parent",
    prompt_column=("q",),
    answer_column="a",
    system_column="s",
)
Row = tuple[str | None, str | None]


def made(folder: Path, rows: list[Row], **columns: list[str | None]) -> Table:
    data = {
        "id": [one for one, _ in rows],
        "parent": [parent for _, parent in rows],
        "q": [f"q{row}" for row in range(len(rows))],
        "a": [f"a{row}" for row in range(len(rows))],
        "s": [f"s{row}" for row in range(len(rows))],
        **columns,
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in data.items()})
    pq.write_table(table, folder / "rows.parquet", row_group_size=3)
    return Table(folder / "rows.parquet")


def linked(rows: list[Row]) -> Links:
    ids, parents = ([row[part] for row in rows] for part in (0, 1))
    return link(
        pa.chunked_array([pa.array(ids, pa.string())]),
        pa.chunked_array([pa.array(parents, pa.string())]),
        "id",
        "parent",
    )


def problems(checked: Scan) -> dict[str, tuple[int, ...]]:
    return {one.what: one.rows for one in checked.problems}


TREE: list[Row] = [("3", "2"), ("1", None), ("2", "1.0"), ("4", " 2 "), ("5", ""), ("6", "1")]
"""1 -> 2 -> (3, 4), 1 -> 6; 5 alone. Parent ids as programs write them that hold whole numbers as floats."""


def test_each_last_row_is_a_conversation_from_the_first_row_on(tmp_path: Path) -> None:
    table = made(tmp_path, TREE)
    checked = scan(table, SETTINGS)
    assert np.flatnonzero(checked.usable).tolist() == [0, 3, 4, 5]
    assert np.flatnonzero(checked.inner).tolist() == [1, 2]
    assert checked.problems == ()
    read = {one.row: one for one in conversations_of(table, np.flatnonzero(checked.usable).tolist(), SETTINGS)}
    assert [one.content for one in read[3].messages] == ["s1", "q1", "a1", "q2", "a2", "q3", "a3"]
    assert [one.learned for one in read[3].messages] == [False, False, True, False, True, False, True]
    assert [one.content for one in read[4].messages] == ["s4", "q4", "a4"]


def test_rows_of_one_tree_are_a_group_with_the_prompt_of_its_first_row(tmp_path: Path) -> None:
    checked = scan(made(tmp_path, TREE), SETTINGS)
    groups = checked.groups.tolist()
    assert len({groups[row] for row in (0, 1, 2, 3, 5)}) == 1 and groups[4] not in (0, groups[0])
    assert checked.prompts[0] == checked.prompts[3] == checked.prompts[5] != checked.prompts[4]


def test_a_group_column_joins_trees_by_the_value_of_their_first_row(tmp_path: Path) -> None:
    rows: list[Row] = [("1", ""), ("2", "1"), ("3", ""), ("4", "")]
    table = made(tmp_path, rows, doc=["x", "y", "x", None])
    checked = scan(table, DatasetSettings.model_validate({**SETTINGS.model_dump(), "group_column": "doc"}))
    groups = checked.groups.tolist()
    assert groups[0] == groups[1] == groups[2] and groups[3] not in (0, groups[0])


def test_broken_rows_are_said_by_row_and_what_is_sound_remains(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("1", ""), ("2", "1"), ("2", "1"), ("3", "2"),  # an id twice, and a row that follows it
        ("4", "nobody"), ("5", "4"),  # an orphan, and a row that follows it
        ("6", "7"), ("7", "6"), ("8", "7"), ("9", "9"),  # a circle, the way into one, and one that follows itself
        (None, "1"),  # without an id it can only be a last row
    ]  # fmt: skip
    table = made(tmp_path, rows)
    checked = scan(table, SETTINGS)
    assert problems(checked) == {
        "the id is used by more than one row": (1, 2),
        "a row before this one in its thread cannot be used": (3, 5),
        "no row has this parent id": (4,),
        "the parent ids lead in a circle": (6, 7, 8, 9),
    }
    assert np.flatnonzero(checked.usable).tolist() == [10]
    orphan = next(one for one in checked.problems if one.what == "no row has this parent id")
    assert orphan.column == "parent" and "Row 5 has the parent id “nobody”" in orphan.fix
    read = list(conversations_of(table, range(len(rows)), SETTINGS))
    assert [one.content for one in read[-1].messages] == ["s0", "q0", "a0", "q10", "a10"]
    with pytest.raises(RowError, match="in a circle"):
        conversation_at(table, 6, SETTINGS)
    with pytest.raises(UserError, match="There is no row 100"):
        conversation_at(table, 99, SETTINGS)


def test_a_row_whose_only_follower_is_broken_is_a_last_row_itself(tmp_path: Path) -> None:
    checked = scan(made(tmp_path, [("1", ""), ("x", "1"), ("x", "1")]), SETTINGS)
    assert checked.usable.tolist() == [True, False, False]


def test_a_last_row_needs_an_answer_and_one_before_it_does_not(tmp_path: Path) -> None:
    table = made(tmp_path, [("1", ""), ("2", "1"), ("3", ""), ("4", "3")], a=[None, "a1", "a2", " "])
    checked = scan(table, SETTINGS)
    assert problems(checked) == {"the answer is empty": (3,)}
    assert checked.usable.tolist() == [False, True, False, False]
    (read,) = conversations_of(table, [1], SETTINGS)
    assert [one.content for one in read.messages] == ["s0", "q0", "q1", "a1"]


def test_a_row_in_the_middle_can_be_shown_too(tmp_path: Path) -> None:
    assert [one.content for one in conversation_at(made(tmp_path, TREE), 2, SETTINGS).messages][-2:] == ["q2", "a2"]


def test_a_limited_scan_knows_rows_beyond_the_limit(tmp_path: Path) -> None:
    checked = scan(made(tmp_path, TREE), SETTINGS, limit=1)
    assert (checked.usable.tolist(), checked.problems) == ([True], ())
    assert checked.groups[0] == scan(made(tmp_path, TREE), SETTINGS).groups[0]


def test_a_thread_beyond_the_longest_is_said_and_cut_before(tmp_path: Path) -> None:
    rows: list[Row] = [(str(row), str(row - 1) if row else "") for row in range(LONGEST_THREAD + 5)]
    table = made(tmp_path, rows)
    checked = scan(table, SETTINGS)
    assert problems(checked) == {"more than 1,000 rows follow one another": tuple(range(1000, 1005))}
    assert np.flatnonzero(checked.usable).tolist() == [LONGEST_THREAD - 1]
    (read,) = conversations_of(table, [LONGEST_THREAD - 1], SETTINGS)
    assert len(read.messages) == 1 + 2 * LONGEST_THREAD


def plainly(rows: list[Row]) -> tuple[dict[int, list[int]], set[int]]:
    """Chains of the last rows and broken rows, by following each row by hand."""
    ids = [row[0] for row in rows]
    chains: dict[int, list[int]] = {}
    for start in range(len(rows)):
        chain = [start]
        while True:
            own, parent = rows[chain[-1]]
            if (own and ids.count(own) > 1) or (parent and parent not in ids):
                break
            if not parent:
                chains[start] = chain[::-1]
                break
            before = ids.index(parent)
            if before in chain:
                break
            chain.append(before)
    inner = {row for chain in chains.values() for row in chain[:-1]}
    return {row: chain for row, chain in chains.items() if row not in inner}, set(range(len(rows))) - set(chains)


IDS = st.one_of(st.none(), st.sampled_from("abcdefgh"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12))
def test_agrees_with_following_each_row_by_hand(rows: list[Row]) -> None:
    links = linked(rows)
    chains, broken = plainly(rows)
    assert set(np.flatnonzero(links.leaves).tolist()) == set(chains)
    assert set(np.flatnonzero(links.broken).tolist()) == broken
    assert sum(int(fault.mask.sum()) for fault in links.faults) == len(broken)
    for row, chain in chains.items():
        assert links.chain(row) == chain
        assert len({int(links.trees[one]) for one in chain}) == 1
