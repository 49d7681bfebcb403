"""What is read from good files: formats by content, encodings said aloud, columns that come late, real data."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_studio.data.reading import Reading, encoding, json_rows, progress, read_file, sink

Read = Callable[..., tuple[Reading, list[dict[str, str | None]]]]


@pytest.mark.parametrize(("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_finds_the_delimiter_and_says_so(read: Read, delimiter: str, word: str) -> None:
    text = "question,answer\nWhat, then?,This, that\n".replace("question,answer", f"question{delimiter}answer")
    text = text.replace("?,", f"?{delimiter}")
    reading, rows = read(text, "a.csv")
    assert rows == [{"question": "What, then?", "answer": "This, that"}]
    assert reading.notes == (f"The values are separated by {word}.",)


def test_latin_1_is_read_and_said_aloud(read: Read) -> None:
    reading, rows = read("q,a\ncafé,“déjà”\n".encode("cp1252"), "a.csv")
    assert rows == [{"q": "café", "a": "“déjà”"}]
    assert "not UTF-8, so it was read as Windows-1252 (Latin-1)" in reading.notes[0]


def test_a_wrong_ending_is_no_obstacle_where_the_content_is_clear(read: Read, tmp_path: Path) -> None:
    reading, rows = read('{"q": "1"}\n{"q": "2"}\n', "a.json")
    assert (reading.format, rows) == ("JSON Lines", [{"q": "1"}, {"q": "2"}])
    assert reading.notes == ("By its content the file is JSON Lines, so it was read as JSON Lines.",)
    assert read('[{"q": "1"}]', "a.jsonl")[0].format == "JSON"
    assert read('{\n"rows": [{"q": "1"}]}', "a.jsonl")[0].format == "JSON"
    assert read('{"q": "1"}\n', "a.csv")[0].format == "JSON Lines"
    pq.write_table(pa.table({"q": ["1"]}), tmp_path / "b.csv")
    assert read((tmp_path / "b.csv").read_bytes(), "c.csv")[0].format == "Parquet"


def test_an_object_that_holds_one_list_is_read(read: Read) -> None:
    reading, rows = read('{"version": "1", "data": [{"q": "1"}, {"q": "2"}], "more": {"x": [1]}}', "a.json")
    assert rows == [{"q": "1"}, {"q": "2"}]
    assert reading.notes == ("The rows were found in the list “data”.",)


def test_columns_that_turn_up_late_are_missing_before(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "GROUP_ROWS", 2)
    lines = [{"q": "1"}, {"q": "2"}, {"q": "3"}, {"q": "4"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    late = "".join(json.dumps({"late": "x", "q": str(index)}) + "\n" for index in range(3000))
    reading, rows = read(text + late, "a.jsonl")
    assert rows[:2] == [{"q": "1", "late": None}, {"q": "2", "late": None}]
    assert rows[-1] == {"q": "2999", "late": "x"}
    assert {column.name: column.missing for column in reading.columns} == {"q": 0, "late": 4}


def test_the_kind_of_a_column_is_told(read: Read, tmp_path: Path) -> None:
    reading, _ = read('{"a": "x", "b": 1, "c": true, "d": [1], "e": null, "f": {"g": 1}}\n', "a.jsonl")
    kinds = {column.name: column.kind for column in reading.columns}
    assert kinds == {"a": "text", "b": "number", "c": "boolean", "d": "list", "e": "empty", "f": "list"}
    reading, _ = read("id,text\n1,x\n007,y\n", "a.csv")
    assert [column.kind for column in reading.columns] == ["number", "text"]


def test_lists_of_parquet_become_json(read: Read, tmp_path: Path) -> None:
    pq.write_table(pa.table({"messages": [[{"role": "user", "content": "hé"}], None]}), tmp_path / "x.parquet")
    _, rows = read((tmp_path / "x.parquet").read_bytes(), "a.parquet")
    assert rows == [{"messages": '[{"role": "user", "content": "hé"}]'}, {"messages": None}]


def test_a_row_longer_than_a_block_is_read(read: Read) -> None:
    long = "x" * 9_000_000
    _, rows = read(f"q,a\n1,2\n{long},3\n", "a.csv")
    assert rows[1] == {"q": long, "a": "3"}


def test_unnamed_columns_get_a_name_and_a_note(read: Read) -> None:
    reading, rows = read(",q\n0,x\n", "a.csv")
    assert rows == [{"column_1": "0", "q": "x"}]
    assert "called “column_1”" in reading.notes[0]


def test_the_hash_depends_on_the_values_alone(read: Read) -> None:
    as_csv, _ = read("q,a\n1,x\n2,\n", "a.csv")
    as_json, _ = read('[{"q": "1", "a": "x"}, {"q": "2", "a": null}]', "a.json")
    other, _ = read('[{"q": "1", "a": "x"}, {"q": "2", "a": ""}]', "a.json")
    moved, _ = read('[{"q": "1", "a": ""}, {"q": "2", "a": "x"}]', "a.json")
    assert as_csv.rows_sha256 == as_json.rows_sha256
    assert len({as_json.rows_sha256, other.rows_sha256, moved.rows_sha256}) == 3


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("alpaca_en_demo.json", 999, {"instruction": "text", "input": "text", "output": "text"}),
        ("gsm8k_train.jsonl", 7473, {"question": "text", "answer": "text"}),
        ("dpo_en_demo.json", 300, {"conversations": "list", "chosen": "list", "rejected": "list"}),
    ],
)
def test_real_files_are_read_as_they_stand(
    name: str, rows: int, columns: dict[str, str], shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    path = shared_file(name)
    reading = read_file(path, name, tmp_path / "rows.parquet", lambda share, words: None)
    assert (reading.row_count, reading.notes) == (rows, ())
    assert {column.name: column.kind for column in reading.columns} == columns
    text = path.read_text()
    held = json.loads(text) if name.endswith("json") else [json.loads(line) for line in text.splitlines()]
    table = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    if "list" not in columns.values():
        assert table == held
    else:
        assert [{key: json.loads(value) for key, value in row.items()} for row in table] == held


def test_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"q": "x" * 1000, "a": str(index)}) + "\n" for index in range(20_000)))
    heard: list[tuple[float | None, str]] = []
    read_file(path, path.name, tmp_path / "rows.parquet", lambda share, words: heard.append((share, words)))
    shares = [share for share, words in heard if words.startswith("Reading: ")]
    assert len(shares) >= 4 and shares == sorted(shares) and shares[-1] == 1.0
    assert all("rows, " in words and " of 20 MB, " in words for _, words in heard if words.startswith("Reading"))


@pytest.mark.parametrize("cut", range(1, 8))
def test_utf8_is_recognised_wherever_the_chunks_are_cut(cut: int, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK", cut)
    text = "é€😀a" * 5
    assert read(f"q,a\n{text},1\n", "a.csv")[0].notes == ()
    for bad in (b"\xe2\x82", b"\x80", b"\xc3(", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xff"):
        (reading, _) = read(b"q,a\nx" + bad + b"y,1\n", "a.csv")
        assert "not UTF-8" in reading.notes[0]


def test_the_hash_does_not_depend_on_how_the_rows_came_in_blocks(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"q": f"ü{i}" * (i % 7), "a": None if i % 5 == 0 else "x" * (i % 90)}) for i in range(2000)]
    whole, rows = read("\n".join(lines), "a.jsonl")
    for size in (100, 3000, 40_000):
        monkeypatch.setattr(json_rows, "FIRST_BLOCK_BYTES", size)
        monkeypatch.setattr(json_rows, "BLOCK_BYTES", size)
        monkeypatch.setattr(json_rows, "BLOCK_ROWS", size // 50)
        monkeypatch.setattr(sink, "GROUP_ROWS", size // 20)
        again, rows_again = read("\n".join(lines), "a.jsonl")
        assert (again.rows_sha256, rows_again, again.columns) == (whole.rows_sha256, rows, whole.columns)


def test_a_reading_survives_being_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("q;a\n1;2\n")
    reading = read_file(path, "a.csv", tmp_path / "rows.parquet", lambda share, words: None)
    reading.save(tmp_path / "reading.json")
    assert Reading.load(tmp_path / "reading.json") == reading
