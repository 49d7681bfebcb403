"""The check of whole blocks says of each row what the row-by-row reading says, and texts are compared as promised."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block
from llm_studio.data.checking import check_columns, prompt_hash, row_by_row, scan
from llm_studio.data.dataset import Table, conversations_of
from llm_studio.data.layouts import layout_of
from llm_studio.data.normal_text import _is_settled, blank, exact_hashes, hashes, normal_bytes, normalised
from llm_studio.errors import Cancelled, UserError

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SPACED = st.text(st.sampled_from("aAbß ς\t\n\u00a0\u2028\u0085\u3000\x1fﬁéE\u0301"), max_size=12)
CELL = st.one_of(st.none(), st.sampled_from(["", " ", "\n", "x", "\u2003"]), ANY_TEXT, SPACED)
NAMES = ("s", "p", "q", "a")
SETTINGS = {
    "instruction": DatasetSettings(prompt_column=("p", "q"), answer_column="a", system_column="s"),
    "one prompt": DatasetSettings(prompt_column=("p",), answer_column="a", prompt_column_separator="|"),
    "no prompt": DatasetSettings(answer_column="a", system_column="s"),
    "labelled": DatasetSettings(layout="labelled", prompt_column=("p", "q"), label_column=("a", "s")),
    "text": DatasetSettings(layout="text", text_column="p"),
}


def as_batch(rows: list[tuple[str | None, ...]]) -> pa.RecordBatch:
    columns = [pa.array([row[index] for row in rows], pa.string()) for index in range(len(NAMES))]
    return pa.RecordBatch.from_arrays(columns, names=list(NAMES))


def faults(block: Block) -> list[tuple[str, str, list[int]]]:
    found = [(one.column, one.reason, np.flatnonzero(one.mask).tolist()) for one in block.faults]
    return sorted(one for one in found if one[2])


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=12))
def test_a_block_is_checked_as_row_by_row(name: str, rows: list[tuple[str | None, ...]]) -> None:
    chosen, batch = SETTINGS[name], as_batch(rows)
    layout = layout_of(chosen)
    assert layout.block is not None
    fast, slow = layout.block(batch, chosen), row_by_row(batch, chosen, layout)
    assert fast.usable.tolist() == slow.usable.tolist()
    assert faults(fast) == faults(slow)
    assert hashes(fast.compared)[fast.usable].tolist() == hashes(slow.compared)[slow.usable].tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.none(), ANY_TEXT, SPACED), max_size=8))
def test_a_block_of_texts_is_normalised_as_each_text_by_itself(texts: list[str | None]) -> None:
    data, starts, ends = normal_bytes(pa.array(texts, pa.string()))
    together = [data[start:end].decode() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    assert together == [normalised(text or "") for text in texts]
    assert blank(pa.array(texts, pa.string())).tolist() == [not (text or "").strip() for text in texts]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aAbZß ς\t\n\u00a0\u2028\u3000\x1cﬁéE\u0301жЖ中"), max_size=16))
def test_normalising_is_the_plain_formula(text: str) -> None:
    plain = unicodedata.normalize("NFKC", text.replace("ß", "ss")).lower().replace("ς", "σ")
    assert normalised(text) == " ".join(plain.split())
    assert normalised(normalised(text)) == normalised(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x32000), max_size=6), max_size=4))
def test_a_text_that_is_settled_is_in_its_normal_form_also_among_others(texts: list[str]) -> None:
    if _is_settled("".join(texts)):
        assert pc.utf8_normalize(pa.array(texts, pa.string()), form="NFKC").to_pylist() == texts


@pytest.mark.parametrize(
    "text", ["e\u0301", "\u1100\u1161", "\ufb01", "\U0001d5ba", "\u00b5", "\u3000", "\u09c7\u09be"]
)
def test_a_text_that_composing_changes_is_not_settled(text: str) -> None:
    assert not _is_settled(text)
    assert _is_settled("Die Straße, 这是 жук Ελλάδα")


def test_texts_that_differ_only_in_case_space_or_composition_have_one_hash() -> None:
    same = ["What is\nthis, Straße?", " WHAT  IS THIS, STRASSE? ", "what\u00a0is this,\u2028straße?", None, "", " "]
    found = hashes(pa.array(same)).tolist()
    assert len(set(found[:3])) == 1 and len(set(found[3:])) == 1 and found[0] != found[3]
    assert exact_hashes(pa.array(["a", "A", " ", None])).tolist()[2:] == [0, 0]


def written(folder: Path, rows: list[tuple[str | None, ...]]) -> Table:
    pq.write_table(pa.Table.from_batches([as_batch(rows)]), folder / "rows.parquet", row_group_size=1000)
    return Table(folder / "rows.parquet")


def test_counts_every_problem_and_keeps_the_first_rows(tmp_path: Path) -> None:
    rows = [(None, f"p{row}", None, None if row % 3 == 0 else " " if row % 3 == 1 else "a") for row in range(9000)]
    checked = scan(written(tmp_path, rows), SETTINGS["instruction"])
    assert [(one.what, one.count, one.column, one.rows) for one in checked.problems] == [
        ("the answer is missing", 3000, "a", tuple(range(0, 30, 3))),
        ("the answer is empty", 3000, "a", tuple(range(1, 31, 3))),
    ]
    assert checked.usable.tolist() == [row % 3 == 2 for row in range(9000)]
    assert not checked.prompts[~checked.usable].any()


def test_many_different_reasons_are_counted_as_one_more(tmp_path: Path) -> None:
    rows = [(None, f'[{{"role": "bot{row}"}}]', None, None) for row in range(30)]
    checked = scan(written(tmp_path, rows), DatasetSettings(layout="messages", messages_column="p"))
    assert len(checked.problems) == 21 and sum(one.count for one in checked.problems) == 30
    assert (checked.problems[0].count, checked.problems[0].rows[:2]) == (10, (20, 21))


def test_the_prompts_hash_is_that_of_the_conversation(tmp_path: Path) -> None:
    table = written(tmp_path, [("s", "Why?", "x", "a"), ("s", None, None, "a")])
    checked = scan(table, SETTINGS["instruction"])
    read = conversations_of(table, [0, 1], SETTINGS["instruction"])
    assert [prompt_hash(one.messages) for one in read] == checked.prompts.tolist()


def test_rows_with_one_value_in_the_chosen_column_are_a_group(tmp_path: Path) -> None:
    table = written(
        tmp_path, [("doc", "a", None, "x"), ("doc", "b", None, "x"), ("", "c", None, "x"), ("e", "d", None, "x")]
    )
    chosen = DatasetSettings(prompt_column=("p",), answer_column="a", group_column="s")
    groups = scan(table, chosen).groups.tolist()
    assert groups[0] == groups[1] != groups[3] and groups[2] == 0 != groups[3]
    assert not scan(table, replace_settings(chosen, group_column="")).groups.any()
    assert not scan(table, replace_settings(chosen, validation_strategy="custom")).groups.any()


def replace_settings(settings: DatasetSettings, **changes: object) -> DatasetSettings:
    return DatasetSettings.model_validate({**settings.model_dump(), **changes})


def test_a_group_column_that_is_not_there_is_named() -> None:
    chosen = DatasetSettings(prompt_column=("p",), answer_column="a", group_column="documents")
    with pytest.raises(UserError, match="no column “documents”") as caught:
        check_columns(chosen, ("p", "a", "document"))
    assert "Did you mean “document”?" in caught.value.fix
    check_columns(replace_settings(chosen, validation_strategy="custom"), ("p", "a"))


def test_a_cancelled_scan_ends(tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise Cancelled("stopped")

    table = written(tmp_path, [(None, "p", None, "a")] * 50_000)
    with pytest.raises(Cancelled):
        scan(table, SETTINGS["one prompt"], tell=stop)
    assert replace(scan(table, SETTINGS["one prompt"], limit=10), problems=()).usable.sum() == 10
