"""Text comes out character for character as the file held it, in every format."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.data.reading import read_file

Cell = str | None
TRAPS = [
    "007",
    "1e5",
    "NaN",
    "null",
    "NA",
    "true",
    "2024-01-01",
    " x ",
    "\r",
    "\n",
    "a\r\nb",
    '"',
    '""',
    ",",
    ";",
    "\t",
]
TRAPS += [
    "",
    "\x00",
    "\u2028",
    "\ufeff",
    "é",
    "e\u0301",
    "😀",
    "-0",
    "0x10",
    "#",
    "'",
    "\\",
    "\\n",
    "=1+1",
    "x" * 70_000,
]
texts = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
tables = st.lists(st.tuples(st.one_of(st.none(), texts), st.one_of(st.none(), texts)), min_size=1, max_size=12)


def read_back(content: bytes, name: str) -> list[tuple[Cell, ...]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        read_file(path, name, Path(folder) / "rows.parquet", lambda share, words: None)
        return [tuple(row.values()) for row in pq.read_table(Path(folder) / "rows.parquet").to_pylist()]


def csv_bytes(rows: Sequence[tuple[Cell, ...]], delimiter: str = ",", end: str = "\n") -> bytes:
    def field(value: Cell) -> str:
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    lines = [delimiter.join(field(value) for value in row) for row in [("first", "second"), *rows]]
    return (end.join(lines) + end).encode()


@settings(max_examples=60, deadline=None)
@given(tables)
def test_csv_keeps_text_and_tells_empty_from_missing(rows: list[tuple[Cell, Cell]]) -> None:
    assert read_back(csv_bytes(rows), "a.csv") == rows


@settings(max_examples=30, deadline=None)
@given(tables)
def test_tsv_with_crlf_keeps_text(rows: list[tuple[Cell, Cell]]) -> None:
    assert read_back(csv_bytes(rows, "\t", "\r\n"), "a.tsv") == rows


@settings(max_examples=60, deadline=None)
@given(tables, st.booleans())
def test_json_lines_keeps_text(rows: list[tuple[Cell, Cell]], ascii_only: bool) -> None:
    lines = [json.dumps({"first": a, "second": b}, ensure_ascii=ascii_only) for a, b in rows]
    assert read_back("\n".join(lines).encode(), "a.jsonl") == rows


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from([None, 2]))
def test_json_keeps_text(rows: list[tuple[Cell, Cell]], indent: int | None) -> None:
    content = json.dumps([{"first": a, "second": b} for a, b in rows], indent=indent).encode()
    assert read_back(content, "a.json") == rows


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
def test_parquet_keeps_text(rows: list[tuple[Cell, Cell]], kind: pa.DataType) -> None:
    sink = pa.BufferOutputStream()
    columns = {name: pa.array([row[i] for row in rows], pa.string()).cast(kind) for i, name in enumerate(("a", "b"))}
    pq.write_table(pa.table(columns), sink)
    assert read_back(sink.getvalue().to_pybytes(), "a.parquet") == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl"])
def test_other_unicode_encodings_are_recognised(encoding: str, name: str) -> None:
    rows: list[tuple[Cell, ...]] = [("Frage: größer?", "Ja, 😀"), ("007", "x\ny")]
    if name == "a.csv":
        text = csv_bytes(rows).decode()
    elif name == "a.json":
        text = json.dumps([{"first": a, "second": b} for a, b in rows], ensure_ascii=False)
    else:
        text = "\n".join(json.dumps({"first": a, "second": b}, ensure_ascii=False) for a, b in rows)
    assert read_back(text.encode(encoding), name) == rows


def test_numbers_keep_their_spelling_in_json(tmp_path: Path) -> None:
    content = (
        b'{"x": 1.10, "y": 12345678901234567890, "z": 1E5, "t": true}\n{"x": -0.0, "y": null, "z": NaN, "t": false}\n'
    )
    assert read_back(content, "a.jsonl") == [
        ("1.10", "12345678901234567890", "1E5", "true"),
        ("-0.0", None, None, "false"),
    ]
