"""Arrow, Excel, plain text and unusual delimiters: what is read, and what is said about it."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pytest

from llm_studio.data.reading import EXTENSIONS, Reading, arrow_files, excel, parquet_rows, plain_text, read_file
from llm_studio.errors import UserError

Read = Callable[..., tuple[Reading, list[dict[str, str | None]]]]
TABLE = pa.table({"q": ["007", None, ""], "n": [1, 2, None], "m": [[{"role": "user"}], None, []]})
ROWS = [
    {"q": "007", "n": "1", "m": '[{"role": "user"}]'},
    {"q": None, "n": "2", "m": None},
    {"q": "", "n": None, "m": "[]"},
]


def workbook(path: Path, **sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_arrow_is_read_in_every_form_and_under_any_ending(form: str, read: Read, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if form == "feather":
        pyarrow.feather.write_feather(TABLE, path, compression="zstd")
    else:
        new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with new(path, TABLE.schema) as writer:
            for batch in TABLE.to_batches(max_chunksize=2):
                writer.write_batch(batch)
    reading, rows = read(path.read_bytes(), "a.arrow")
    assert (reading.format, rows, reading.notes) == ("Arrow", ROWS, ())
    assert read(path.read_bytes(), "a.csv")[0].notes == ("By its content the file is Arrow, so it was read as Arrow.",)


def test_what_datasets_saves_is_read(read: Read, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"q": ["x", "y"], "n": [1, 2]}).save_to_disk(str(tmp_path / "saved"))
    (path,) = (tmp_path / "saved").glob("*.arrow")
    assert read(path.read_bytes(), path.name)[1] == [{"q": "x", "n": "1"}, {"q": "y", "n": "2"}]


def test_a_large_block_of_arrow_is_read_in_pieces(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_files, "BATCH_ROWS", 7)
    values = [f"row {i}" for i in range(100)]
    texts = pa.array([b"\xff" if i == 50 else value.encode() for i, value in enumerate(values)]).view(pa.string())
    with pa.ipc.new_file(tmp_path / "x", pa.schema([("q", pa.string())])) as writer:
        writer.write_batch(pa.record_batch({"q": texts}))
    reading, rows = read((tmp_path / "x").read_bytes(), "a.arrow")
    assert [row["q"] for row in rows] == values[:50] + values[51:]
    assert [one.row for one in reading.rejected_examples] == [51]


@pytest.mark.parametrize("form", [pa.ipc.new_file, pa.ipc.new_stream])
def test_a_truncated_or_damaged_arrow_file_is_refused(form: Callable[..., object], read: Read, tmp_path: Path) -> None:
    with form(tmp_path / "x", pa.schema([("q", pa.string())])) as writer:  # type: ignore[attr-defined]
        for _ in range(5):
            writer.write_batch(pa.record_batch({"q": ["x" * 100] * 50}))
    whole = (tmp_path / "x").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:20], whole[:16] + b"\x7f" * 300 + whole[316:]):
        with pytest.raises(UserError, match="damaged Arrow file"):
            read(content, "a.arrow")


def test_nested_bytes_that_are_no_text_are_row_errors(read: Read, tmp_path: Path) -> None:
    inner = pa.array([b"fine", b"\xff", b"good"]).view(pa.string())
    with pa.ipc.new_file(tmp_path / "x", pa.schema([("s", pa.struct([("t", pa.string())]))])) as writer:
        writer.write_batch(pa.record_batch({"s": pa.StructArray.from_arrays([inner], ["t"])}))
    reading, rows = read((tmp_path / "x").read_bytes(), "a.arrow")
    assert rows == [{"s": '{"t": "fine"}'}, {"s": '{"t": "good"}'}]
    assert (reading.rejected_examples[0].row, reading.rejected_examples[0].column) == (2, "s")
    assert parquet_rows.BATCH_ROWS >= 1


def test_excel_keeps_text_numbers_and_dates(read: Read, tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["id", "text", "number", "when", None],
        ["007", "a\nb", 1.5, datetime.date(2024, 1, 2)],
        [None, "#N/A", 2**40, datetime.datetime(2024, 1, 2, 3, 4, 5)],
        [None, None, None, None],
        ["x", " _x000D_y_x005F_x0041_", True, datetime.time(1, 2)],
        ["y", "z", -0.1, datetime.timedelta(hours=30)],
    ]
    reading, found = read(workbook(tmp_path / "x.xlsx", Empty=[], Data=rows, More=[["q"], ["1"]]), "a.xlsx")
    assert reading.format == "Excel"
    assert found == [
        {"id": "007", "text": "a\nb", "number": "1.5", "when": "2024-01-02"},
        {"id": None, "text": "#N/A", "number": "1099511627776", "when": "2024-01-02T03:04:05"},
        {"id": "x", "text": " \ry_x0041_", "number": "true", "when": "01:02:00"},
        {"id": "y", "text": "z", "number": "-0.1", "when": "30:00:00"},
    ]
    assert reading.notes == ("The rows are those of the sheet “Data”. Not read: “Empty”, “More”.",)


def test_the_named_sheet_is_read(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", One=[["q"], ["1"]], Two=[["r", "s"], ["2", "3", "beside"], ["4", "5"]])
    target = tmp_path / "rows.parquet"
    reading = read_file(tmp_path / "a.xlsx", "a.xlsx", target, lambda share, words: None, sheet="Two")
    assert [column.name for column in reading.columns] == ["r", "s"] and reading.row_count == 1
    assert reading.rejected_examples[0].reason == "a value in column 3, the header has 2"
    with pytest.raises(UserError, match="has no sheet “Three”") as caught:
        read_file(tmp_path / "a.xlsx", "a.xlsx", target, lambda share, words: None, sheet="Three")
    assert caught.value.fix == "Choose one of its sheets: “One”, “Two”."
    (tmp_path / "a.csv").write_text("q\n1\n")
    with pytest.raises(UserError, match="has no sheets"):
        read_file(tmp_path / "a.csv", "a.csv", target, lambda share, words: None, sheet="Two")


def test_a_formula_without_a_stored_result_is_said_aloud(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[list[object]] = [["q", "sum"], *[[f"x{i}", "=1+1" if i % 2 else i] for i in range(300)]]
    content = workbook(tmp_path / "x.xlsx", One=rows)
    for chunk in (2**20, 300, 777):
        monkeypatch.setattr(excel, "CHUNK", chunk)
        reading, found = read(content, "a.xlsx")
        assert found[1] == {"q": "x1", "sum": None}
        assert reading.notes[1].startswith("150 cells hold a formula whose result is not stored")


def test_an_empty_doubled_or_damaged_workbook_is_refused(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="holds no sheet with rows"):
        read(workbook(tmp_path / "x.xlsx", One=[], Two=[[None]]), "a.xlsx")
    with pytest.raises(UserError, match="header but no rows"):
        read(workbook(tmp_path / "x.xlsx", One=[["q"]]), "a.xlsx")
    with pytest.raises(UserError, match="same name “q”"):
        read(workbook(tmp_path / "x.xlsx", One=[["q", "q"], ["1", "2"]]), "a.xlsx")
    whole = workbook(tmp_path / "x.xlsx", One=[["q"], *[[str(i)] for i in range(5000)]])
    with pytest.raises(UserError, match="damaged"):
        read(whole[:2000] + b"\0" * 3000 + whole[5000:], "a.xlsx")
    monkeypatch.setattr(excel, "SHARED_TEXT_BYTES", 100)
    with pytest.raises(UserError, match="MB can be read"):
        read(whole, "a.xlsx")


def test_a_short_text_is_one_row_and_a_long_one_a_row_for_each_paragraph(read: Read) -> None:
    text = "# Title\r\n\r\nBody, with a comma.\n"
    for name in ("a.txt", "a.md"):
        reading, rows = read(text, name)
        assert rows == [{"text": text}] and reading.format == "plain text"
    assert "one row" in reading.notes[0]
    parts = ["x" * 2000 + "\r\nsecond line\n  third", "é" * 3000, "last"]
    reading, rows = read("\n\n" + parts[0] + "\n \t\n\n" + parts[1] + "\r\n\r\n" + parts[2] + "\n\n", "a.txt")
    assert [row["text"] for row in rows] == parts
    assert "longer than 4,000 characters, so each of its paragraphs" in reading.notes[0]


def test_a_paragraph_without_end_is_refused(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_text, "LARGEST_PARAGRAPH_BYTES", 1000)
    with pytest.raises(UserError, match=r"The paragraph from line 3 on is longer") as caught:
        read("a\n\n" + "x\n" * 5000, "a.txt")
    assert caught.value.where == "a.txt, line 3"


def test_a_table_called_text_is_read_as_a_table_and_prose_is_not(read: Read) -> None:
    reading, rows = read("id\tanswer\n1\tx\n2\ty\n", "a.txt")
    assert rows[1] == {"id": "2", "answer": "y"}
    assert "By its content the file is TSV, so it was read as TSV." in reading.notes
    assert read('{"q": "1"}\n{"q": "2"}\n', "a.txt")[0].format == "JSON Lines"
    assert read('[\n{"q": "1"}]', "a.txt")[0].format == "JSON"
    assert read("id,q\n1,x\n2,y\n", "table")[0].format == "CSV"
    for prose in ("One, two.\nThree, four.\nFive, six.\n", "[Verse]\nx\ny\n", "| a | b |\n| 1 | 2 |\n| 3 | 4 |\n"):
        assert read(prose, "a.md")[0].format == "plain text"
    for prose in (
        "Roses are red, my love\nViolets are blue, dear\nSugar is sweet, too\n",
        "So it was, and so it is\n" * 9,
    ):
        assert read(prose, "a.txt")[0].format == "plain text"
    assert read("Dear reader,\nhow are you?\n", "letter")[0].format == "plain text"


@pytest.mark.parametrize("delimiter", ["^", "~", ":", "#", "\x01", "\x1f"])
def test_an_unusual_delimiter_is_found_where_all_rows_agree(delimiter: str, read: Read) -> None:
    lines = [["question", "answer"], ["What, then?", "This; that"], ["a-b", "c d"]]
    reading, rows = read("\n".join(delimiter.join(line) for line in lines), "a.csv")
    assert rows[0] == {"question": "What, then?", "answer": "This; that"}
    sign = f"“{delimiter}”" if delimiter.isprintable() else repr(delimiter)
    assert reading.notes == (f"The values are separated by {sign}.",)


def test_a_column_of_questions_stays_one_column(read: Read) -> None:
    assert read("why?\nwho?\nwhere?\n", "a.csv")[1] == [{"why?": "who?"}, {"why?": "where?"}]


def test_a_column_of_text_with_colons_stays_one_column(read: Read) -> None:
    assert read("note: all\na: b: c\nplain\n", "a.csv")[1] == [{"note: all": "a: b: c"}, {"note: all": "plain"}]


def test_the_table_of_endings_covers_what_is_read() -> None:
    assert {".xlsx", ".arrow", ".feather", ".txt", ".md", ".zip", ".gz", ".tgz", ".zst", ".tar"} <= set(EXTENSIONS)


def test_whole_numbers_in_json_keep_their_spelling(read: Read) -> None:
    big = "9" * 5000
    _, rows = read(f'{{"a": -0, "b": 10000000000000000000001, "c": {big}}}\n', "a.jsonl")
    assert rows == [{"a": "-0", "b": "10000000000000000000001", "c": big}]
    assert json.loads(rows[0]["b"] or "") == 10**22 + 1
