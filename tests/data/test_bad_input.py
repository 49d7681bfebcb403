"""Every bad file is refused with what, where and fix, and leaves nothing behind."""

import json
import re
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_studio.data.reading import progress, read_file
from llm_studio.errors import Cancelled, UserError

GOOD = b"question,answer\na,b\n"

CASES: dict[str, tuple[str, bytes, str, str]] = {
    # name: file, content, pattern of “what”, pattern of “where”
    "empty file": ("a.csv", b"", r"empty \(0 bytes\)", r"^a\.csv$"),
    "white space only": ("a.csv", b" \n\n", r"only white space", r"a\.csv"),
    "header only": ("a.csv", b"question,answer\n", r"header but no rows", r"a\.csv"),
    "header only without a line end": ("a.csv", b"question,answer", r"header but no rows", r"a\.csv"),
    "a row with too many values": (
        "a.csv",
        b"q,a\n1,2\n1,2\n" + b"x,y,z\n" * 3,
        r"^Row 3 has 3 values, the header has 2: q, a\.$",
        r"row 3 \(line 4\), column “a”",
    ),
    "a row with too few values": (
        "a.csv",
        b'q,a\n"1\n1",2\nx\nx\n',
        r"Row 2 has 1 value, .* 2",
        r"row 2 \(line 4\), column “q”",
    ),
    "a ragged TSV": ("a.tsv", b"q\ta\n1\t2\n1\t2\t3\n1\t2\t3\n", r"Row 2 has 3 values", r"row 2 \(line 3\)"),
    "a name twice": ("a.csv", b"q,a,q\n1,2,3\n", r"same name “q”", r"header, columns 1 and 3"),
    "damaged UTF-8": (
        "a.csv",
        "q,a\né,ü\n".encode() * 3 + b"x,caf\xe9 y\n" + "é,ü\n".encode() * 20,
        r"byte 0xE9 in line 7",
        r"line 7",
    ),
    "damaged UTF-8 in JSON Lines": (
        "a.jsonl",
        '{"q": "éüöäßé", "a": "é"}\n'.encode() * 3 + b'{"q": "caf\xe9", "a": "b"}\n',
        r"byte 0xE9 in line 4",
        r"line 4",
    ),
    "odd UTF-16": ("a.csv", "q,a\n1,2\n".encode("utf-16") + b"x", r"looks like UTF-16 but is damaged", r"a\.csv"),
    "binary data": ("a.csv", bytes(range(256)) * 4, r"not a text file", r"a\.csv"),
    "a cut off Excel file": ("a.csv", b"PK\x03\x04....", r"zip archive or an Excel file but is damaged", r"a\.csv"),
    "a cut off gzip file": ("a.jsonl.gz", b"\x1f\x8b\x08\x00", r"is a damaged gzip file", r"a\.jsonl\.gz"),
    "a PDF": ("a.txt", b"%PDF-1.7 ...", r"is a PDF; such files are not read", r"a\.txt"),
    "text called Excel": ("a.xlsx", GOOD, r"not an Excel file: it does not begin with PK", r"byte 0"),
    "text called gzip": ("a.csv.gz", GOOD, r"not a gzip file, although its name says so", r"byte 0"),
    "an unknown ending": ("a.docx", GOOD, r"ends in \.docx; such files are not read", r"a\.docx"),
    "text called Parquet": ("a.parquet", GOOD, r"not a Parquet file: it does not begin with PAR1", r"byte 0"),
    "JSON that is a number": ("a.json", b"17", r"is a number, not a list of rows", r"line 1"),
    "JSON that is text": ("a.json", b'"rows"', r"is text, not a list of rows", r"line 1"),
    "JSON that is one object": ("a.json", b'{\n"q": "1",\n "a": {"b": 2}}', r"one object and no list", r"a\.json"),
    "JSON with two lists": (
        "a.json",
        b'{"train": [{"q": "1"}], "test": [{"q": "2"}]}',
        r"more than one list: “train” and “test”",
        r"line 1",
    ),
    "an empty list": ("a.json", b"[]", r"its list is empty", r"a\.json"),
    "not JSON": ("a.json", b"question: 1", r"not JSON: it begins with 'q'", r"line 1"),
    "cut off JSON": ("a.json", b'[\n{"q": "1"},\n{"q": "2', r"Row 2 is not valid JSON: Unterminated", r"row 2, line 3"),
    "JSON cut off between rows": (
        "a.json",
        b'[\n{"q": "1"},\n{"q": "2"}\n',
        r"After row 2 the file ends",
        r"row 2, line 4",
    ),
    "a missing comma": (
        "a.json",
        b'[{"q": "1"}\n{"q": "2"}]',
        r"After row 1 '\{' stands where a comma",
        r"row 1, line 2",
    ),
    "a bad value in the middle": ("a.json", b'[{"q": "1"},\n{"q": 0x1}]', r"Row 2 is not valid JSON", r"row 2, line 2"),
    "text after the list": ("a.json", b'[{"q": "1"}] x', r"After the end of the list comes more text", r"line 1"),
    "mixed rows": ("a.json", b'[{"q": "1"},\n "text", 1]', r"Row 2 is text, not an object", r"row 2 \(line 2\)"),
    "rows that are lists": ("a.json", b'[["q", "a"], ["1", "2"]]', r"Row 1 is a list, not an object", r"row 1"),
    "mixed rows in JSON Lines": (
        "a.jsonl",
        b'{"q": "1"}\n\n7\n8\n',
        r"Row 2 is a number, not an object",
        r"row 2 \(line 3\)",
    ),
    "a broken line": (
        "a.jsonl",
        b'{"q": "1"}\n{"q": "2"\n{\n',
        r"Row 2 is not valid JSON: .* begins with: \{\"q\"",
        r"row 2 \(line 2\)",
    ),
    "a broken line in a later block": (
        "a.jsonl",
        b'{"q": "' + b"x" * 5_000_000 + b'"}\n{"q": "1"}\nnope\n' + b"no\n" * 2,
        r"Row 3 is not valid JSON",
        r"row 3 \(line 3\)",
    ),
    "a name twice in one object": ("a.jsonl", b'{"q": "1", "q": "2"}\n', r"the name “q” occurs twice", r"row 1"),
    "half a character": (
        "a.jsonl",
        b'{"q": "fine"}\n' + b'{"q": "ab\\ud83d"}\n' * 2,
        r"row 2, column “q”, .* \\ud83d alone, at character 3",
        r"row 2 \(line 2\), column “q”",
    ),
    "half a character in a list": (
        "a.json",
        b'[{"q": ["\\udc00"]}]',
        r"row 1, column “q”, holds half a character",
        r"column “q”",
    ),
    "blank JSON Lines": ("a.jsonl", b"\n\n", r"only white space", r"a\.jsonl"),
}


@pytest.mark.parametrize("case", CASES)
def test_is_refused_with_what_where_and_fix(case: str, tmp_path: Path) -> None:
    name, content, what, where = CASES[case]
    path = tmp_path / name
    path.write_bytes(content)
    out = tmp_path / "staging"
    out.mkdir()
    with pytest.raises(UserError) as caught:
        read_file(path, name, out / "rows.parquet", lambda share, words: None)
    assert re.search(what, caught.value.what, re.DOTALL), caught.value.what
    assert re.search(where, caught.value.where), caught.value.where
    assert caught.value.fix
    assert list(out.iterdir()) == []


def parquet(path: Path, table: pa.Table) -> bytes:
    pq.write_table(table, path)
    return path.read_bytes()


def refused(path: Path, out: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_file(path, path.name, out / "rows.parquet", lambda share, words: None)
    assert not (out / "rows.parquet").exists()
    return caught.value


def test_a_truncated_parquet_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = parquet(path, pa.table({"q": ["x"] * 1000}))
    path.write_bytes(whole[: len(whole) // 2])
    error = refused(path, tmp_path)
    assert error.what == "a.parquet is cut off: a Parquet file ends with PAR1, this one does not."
    assert "Get the file again" in error.fix


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = bytearray(parquet(path, pa.table({"q": [f"row {i}" for i in range(1000)]})))
    whole[20:400] = b"\xff" * 380
    path.write_bytes(bytes(whole))
    assert "damaged" in refused(path, tmp_path).what


def test_parquet_without_rows_with_doubled_names_or_binary_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet(path, pa.table({"q": pa.array([], pa.string())}))
    assert "holds no rows" in refused(path, tmp_path).what
    parquet(path, pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["q", "q"]))
    assert "same name “q”" in refused(path, tmp_path).what
    parquet(path, pa.table({"q": pa.array([b"fine", b"\xff\xfe", b"\xff"])}))
    error = refused(path, tmp_path)
    assert "column “q” in row 2 is not text" in error.what
    assert error.where == "a.parquet, row 2, column “q”"


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert refused(tmp_path / "folder.csv", tmp_path).what == "folder.csv is a folder, not a file."
    assert refused(tmp_path / "gone.csv", tmp_path).what == "There is no file gone.csv."


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.parquet"])
def test_cancelling_leaves_nothing_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"q": "x" * 500, "a": str(index)} for index in range(40_000)]
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("q,a\n" + "".join(f"{row['q']},{row['a']}\n" for row in rows))
    elif name.endswith("json"):
        path.write_text(json.dumps(rows))
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, compression="none", use_dictionary=False)
    out = tmp_path / "staging"
    out.mkdir()

    def report(share: float | None, words: str) -> None:
        if words.startswith("Reading"):
            raise Cancelled

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    threads = threading.active_count()
    with pytest.raises(Cancelled):
        read_file(path, name, out / "rows.parquet", report)
    assert list(out.iterdir()) == []
    assert threading.active_count() == threads
