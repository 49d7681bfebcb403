"""Text comes out character for character as the file held it, in every format."""

import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llm_studio.data.reading import json_rows, read_file

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


@settings(max_examples=40, deadline=None)
@given(tables, st.sampled_from([pa.ipc.new_file, pa.ipc.new_stream]), st.sampled_from([pa.string(), pa.large_string()]))
def test_arrow_keeps_text(rows: list[tuple[Cell, Cell]], form: Callable[..., Any], kind: pa.DataType) -> None:
    sink = pa.BufferOutputStream()
    columns = {name: pa.array([row[i] for row in rows], kind) for i, name in enumerate(("a", "b"))}
    with form(sink, pa.schema([("a", kind), ("b", kind)])) as writer:
        writer.write_table(pa.table(columns))
    assert read_back(sink.getvalue().to_pybytes(), "a.arrow") == rows


XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
cells = st.one_of(st.none(), st.sampled_from(["007", "1e5", " x ", "a\nb", "\t", "NaN", "_x0041", "'"]), st.text(XML))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(XML, min_size=1), cells), min_size=1, max_size=12))
def test_excel_keeps_text(rows: list[tuple[Cell, Cell]]) -> None:
    book = openpyxl.Workbook()
    for row in [("first", "second"), *rows]:
        # Excel writes what would be taken for an escape with an escape of its own; openpyxl leaves that to the caller.
        book.active.append([None if value is None else value.replace("_x", "_x005F_x") for value in row])
    for row in book.active.iter_rows():
        for cell in row:
            cell.data_type = "n" if cell.value is None else "s"
    out = io.BytesIO()
    book.save(out)
    # An empty text and an empty cell are the same in the file.
    assert read_back(out.getvalue(), "a.xlsx") == [(a, b or None) for a, b in rows]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(str.strip), st.integers(0, 2))
def test_plain_text_keeps_every_character(text: str, packed: int) -> None:
    assume(not text.startswith("\ufeff") and text.lstrip()[0] not in "[{%" and "\0" not in text)
    content = text.encode()
    assume(len(content) < 4 or not re.match(rb"PAR1|PK|Rar!|GIF8", content))
    zstd = pa.compress(content, "zstd", asbytes=True)
    name, content = [("a.md", content), ("a.md.gz", gzip.compress(content)), ("a.md.zst", zstd)][packed]
    assert read_back(content, name) == [(text,)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab \né😀,\"'", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=8))
def test_paragraphs_keep_every_character(texts: list[str]) -> None:
    paragraphs = ["." + re.sub(r"\n\s*\n", "\n", text) + "." for text in texts]
    content = "\n\n".join(["x" * 4001, *paragraphs]).encode()
    assert [row[0] for row in read_back(content, "a.md")][1:] == paragraphs


numbers = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1.0", "1e5", "1E+5", "-0", "-0.0", "1.10", "0.1e-7", "9" * 50, "1" * 5000]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), st.booleans())
def test_numbers_of_json_keep_their_spelling(rows: list[tuple[str, str]], lines: bool) -> None:
    objects = [f'{{"a": {a}, "b": [{b}, {{"c": {a}}}]}}' for a, b in rows]
    content = "\n".join(objects) if lines else "[" + ", ".join(objects) + "]"
    found = read_back(content.encode(), "a.jsonl" if lines else "a.json")
    assert found == [(a, f'[{b}, {{"c": {a}}}]') for a, b in rows]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.one_of(numbers, st.sampled_from(["007", "+1", "1_000", "0x1F", " 1 "])), numbers), min_size=1)
)
def test_numbers_of_csv_keep_their_spelling(rows: list[tuple[str, str]]) -> None:
    content = "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows)
    assert read_back(content.encode(), "a.csv") == rows


@settings(max_examples=30, deadline=None)
@given(tables, st.sampled_from([64, 200, 5000]))
def test_small_blocks_of_json_lines_read_the_same(rows: list[tuple[Cell, Cell]], size: int) -> None:
    lines = [json.dumps({"first": a, "second": b}) for a, b in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "FIRST_BLOCK_BYTES", 10)
        patch.setattr(json_rows, "BLOCK_BYTES", size)
        assert read_back("\n".join(lines).encode(), "a.jsonl") == rows


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl"])
def test_a_very_long_line_is_kept(name: str) -> None:
    long = "é\n," * 3_000_000
    if name == "a.csv":
        content = csv_bytes([(long, "1"), ("2", long)])
    else:
        rows = [{"first": long, "second": "1"}, {"first": "2", "second": long}]
        content = json.dumps(rows).encode() if name == "a.json" else "\n".join(map(json.dumps, rows)).encode()
    assert read_back(content, name) == [(long, "1"), ("2", long)]
