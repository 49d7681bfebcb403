"""Rows that do not fit are left out, counted and written down; a file of mostly such rows is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_studio.data.reading import Reading, delimited, json_rows, read_file, rejected_path, rejects
from llm_studio.data.reading.rejects import RejectedRow
from llm_studio.errors import UserError

Read = Callable[..., tuple[Reading, list[dict[str, str | None]]]]


def written(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]


def test_ragged_rows_of_csv_are_left_out_and_written_down(read: Read, tmp_path: Path) -> None:
    reading, rows = read('q,a\n1,2\n\nx\n"3\n3",4\nx,y,"z,z"\n5,6\n', "a.csv")
    assert rows == [{"q": "1", "a": "2"}, {"q": "3\n3", "a": "4"}, {"q": "5", "a": "6"}]
    assert reading.rejected == 2 and reading.row_count == 3
    assert reading.rejected_examples == (
        RejectedRow(2, "q", "1 value, the header has 2"),
        RejectedRow(4, "a", "3 values, the header has 2"),
    )
    assert written(tmp_path)[1] == {
        "file": "a.csv",
        "row": 4,
        "column": "a",
        "reason": "3 values, the header has 2",
        "text": 'x,y,"z,z"',
    }


def test_rejected_rows_are_counted_once_when_a_long_row_makes_the_reading_start_anew(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    lines = [f"{i},{'x' * (1000 if i == 50 else 3)}" if i % 10 else f"{i}" for i in range(100)]
    reading, rows = read("q,a\n" + "\n".join(lines) + "\n", "a.csv")
    assert [row["q"] for row in rows] == [str(i) for i in range(100) if i % 10]
    assert [one.row for one in reading.rejected_examples] == list(range(1, 100, 10))
    assert reading.rejected == 10


def test_lines_that_are_no_objects_are_left_out(read: Read, tmp_path: Path) -> None:
    bad = ["nope", "[1]", '{"q": "1", "q": "2"}', '{"q": "ab\\ud800"}', '{"q": {"r": "\\udc00x"}}', '{"q": "1"} x']
    lines = [line for one in bad for line in ('{"q": "fine"}', "", one, '{"q": "\\ud83d\\ude00"}')]
    reading, rows = read("\n".join(lines), "a.jsonl")
    assert rows == [{"q": "fine"}, {"q": "😀"}] * len(bad)
    assert [(one.row, one.column) for one in reading.rejected_examples] == [
        (2, ""),
        (5, ""),
        (8, ""),
        (11, "q"),
        (14, "q"),
        (17, ""),
    ]
    reasons = [one.reason for one in reading.rejected_examples]
    assert reasons[0].startswith("not valid JSON: Expecting value")
    assert reasons[1:5] == [
        "a list, not an object with named columns",
        "the name “q” occurs twice",
        "half a character: \\ud800 alone, at character 3",
        "half a character: \\udc00 alone, at character 8",
    ]
    assert reasons[5].startswith("not valid JSON: Extra data")
    assert [record["text"] for record in written(tmp_path)] == bad


ODD_LINES = [
    '{"q": "\\ud800"}',
    '{"q": "\\udc00 x"}',
    '{"q": "\\ud83d\\ude00"}',
    '{"q": "1", "q": "2"}',
    '{"q": "1"} {"q": "2"}',
    '{"q":\n"1"}',
    '{"q": "1"}\n\n{"q": "1"}{"q": "2"}',
    '{"q": 1.10}',
    '{"q": "a\tb"}',
    '{"q": "a\x00b"}',
    '{"q": "a\\u0000b"}',
    '{"q": "1",}',
    '{"q": NaN}',
    '{"q": null}',
    '{"q": "x"}//c',
    "{'q': 'x'}",
    '\ufeff{"q": "x"}',
    '{"q": "x"}\r',
    '{"q": "x"}\x00',
    '{"other": "x"}',
    "{}",
    "null",
    '[{"q": "x"}]',
    '{"q": "\\/"}',
    '{"\\u0071": "x"}',
    '{"q": "x" "a": "y"}',
    '{"q": "\\x"}',
    '{"q": {"r": 1e5}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("odd", ODD_LINES, ids=range(len(ODD_LINES)))
def test_an_odd_line_is_read_the_same_by_arrow_and_by_python(
    odd: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [json.dumps({"q": f"text {i}", "a": "x"}) for i in range(30)]
    text = "\n".join([*good, odd, *good])
    plain, rows = read(text, "a.jsonl")
    monkeypatch.setattr(json_rows, "FIRST_BLOCK_BYTES", 10)
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", len("\n".join(good)) - 100)
    quick, quick_rows = read(text, "a.jsonl")
    assert quick_rows == rows
    assert (quick.rejected_examples, quick.rows_sha256) == (plain.rejected_examples, plain.rows_sha256)


def test_a_bad_line_far_down_does_not_change_what_is_read_around_it(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps({"q": f"text {i}", "a": "x" * 50}) for i in range(3000)]
    whole, _ = read("\n".join(lines), "a.jsonl")
    monkeypatch.setattr(json_rows, "FIRST_BLOCK_BYTES", 500)
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", 5000)
    broken, _ = read("\n".join([*lines[:2000], "{", *lines[2000:]]), "a.jsonl")
    assert broken.rows_sha256 == whole.rows_sha256
    assert [one.row for one in broken.rejected_examples] == [2001]


def test_elements_of_a_json_list_that_are_no_objects_are_left_out(read: Read, tmp_path: Path) -> None:
    reading, rows = read('[{"q": "1"}, 7, {"q": "2"}, {"q": "1", "q": "2"}, {"q": "\\ud800"}, {"q": "3"}]', "a.json")
    assert rows == [{"q": "1"}, {"q": "2"}, {"q": "3"}]
    assert [(one.row, one.column) for one in reading.rejected_examples] == [(2, ""), (4, ""), (5, "q")]
    assert [record["text"] for record in written(tmp_path)] == ["7", '{"q": "1", "q": "2"}', '{"q": "\\ud800"}']


def test_bytes_of_parquet_that_are_no_text_are_left_out(read: Read, tmp_path: Path) -> None:
    values = pa.array([b"fine", b"\xff\xfe", "größer".encode(), None])
    for column in (values, values.cast(pa.large_binary()), values.view(pa.string())):
        pq.write_table(pa.table({"n": [1, 2, 3, 4], "q": column}), tmp_path / "x.parquet")
        reading, rows = read((tmp_path / "x.parquet").read_bytes(), "a.parquet")
        assert [row["q"] for row in rows] == ["fine", "größer", None]
        assert reading.rejected_examples == (RejectedRow(2, "q", "not text: invalid start byte"),)
        assert written(tmp_path)[0]["text"] == "\\xff\\xfe"


def test_is_refused_when_more_than_half_of_the_rows_do_not_fit(read: Read, tmp_path: Path) -> None:
    assert read("q,a\n1,2\nx\n", "a.csv")[0].rejected == 1
    with pytest.raises(UserError, match=r"^Row 2 has 1 value, the header has 2: q, a\."):
        read("q,a\n1,2\nx\nx\n", "a.csv")
    assert not (tmp_path / "out" / "rejected.jsonl").exists()


@pytest.mark.parametrize(("bad", "name"), [("x", "a.csv"), ("x", "a.jsonl")])
def test_is_refused_when_the_first_20_rows_do_not_fit(bad: str, name: str, read: Read) -> None:
    head, good = ("q,a\n", "1,2") if name == "a.csv" else ("", '{"q": "1"}')
    with pytest.raises(UserError, match=r"^Row 1 "):
        read(head + f"{bad}\n" * 20 + f"{good}\n" * 1000, name)
    assert read(head + f"{bad}\n" * 19 + f"{good}\n" * 1000, name)[0].rejected == 19


def test_writes_a_bounded_number_of_rows_and_characters_but_counts_all(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejects, "WRITTEN_ROWS", 5)
    reading, _ = read("q,a\n" + ("1,2\n" + "x" * 700 + "\n") * 30, "a.csv")
    assert (reading.rejected, len(reading.rejected_examples), len(written(tmp_path))) == (30, 10, 5)
    assert written(tmp_path)[0]["text"] == "x" * 500


def test_a_record_keeps_what_was_rejected(read: Read, tmp_path: Path) -> None:
    reading, _ = read('{"q": "1"}\nx\n{"q": "2"}\n', "a.jsonl")
    reading.save(tmp_path / "reading.json")
    assert Reading.load(tmp_path / "reading.json") == reading and reading.rejected == 1
    old = json.loads((tmp_path / "reading.json").read_text())
    del old["rejected"], old["rejected_examples"]
    (tmp_path / "reading.json").write_text(json.dumps(old))
    assert Reading.load(tmp_path / "reading.json").rejected == 0


def test_the_validation_file_has_a_list_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q,a\n1,2\nx\n")
    read_file(tmp_path / "a.csv", "a.csv", tmp_path / "validation.parquet", lambda share, words: None)
    assert rejected_path(tmp_path / "validation.parquet") == tmp_path / "rejected-validation.jsonl"
    assert (tmp_path / "rejected-validation.jsonl").is_file()


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file(read: Read) -> None:
    with pytest.raises(UserError, match=r"opens in row 2 is not closed: it takes in 3 lines") as caught:
        read('q,a\n1,2\n3,"4\n5,6\n7,8\n', "a.csv")
    assert caught.value.where == "a.csv, row 2, column “a”"
    assert read('q,a\n1,2\n3,"4\n5,""6\n7,8"""\n\n', "a.csv")[1][1] == {"q": "3", "a": '4\n5,"6\n7,8"'}


def test_a_quote_that_is_never_closed_in_the_header_or_in_a_long_file_is_refused(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(delimited, "LARGEST_ROW_BYTES", 5000)
    with pytest.raises(UserError, match=r"Row 2 or one soon after it is longer than") as caught:
        read('q,a\n1,2\n3,"4\n' + "5,6\n" * 5000, "a.csv")
    assert caught.value.where == "a.csv, row 2 or later"
    limit = csv.field_size_limit(5000)
    try:
        with pytest.raises(UserError, match=r"A name in the header of a\.csv is longer than 5,000 characters"):
            read('q,"a\n' + "5,6\n" * 5000, "a.csv")
    finally:
        csv.field_size_limit(limit)
