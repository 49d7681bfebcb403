"""Several files of one source become one table."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_studio.data.connectors import SourceFile
from llm_studio.data.joining import read_files
from llm_studio.data.reading import read_file
from llm_studio.errors import Cancelled, UserError
from tests.support.web import StopsAfter, quiet


def write(folder: Path, name: str, text: str) -> SourceFile:
    (folder / name).write_text(text)
    return SourceFile(folder / name, name)


def test_rows_follow_each_other_and_columns_go_by_name(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "a.csv", "question,answer\n1,2\n3,4\n"),
        write(tmp_path, "b.jsonl", '{"answer": "6", "question": "5", "more": [1]}\n'),
    ]
    reading = read_files(files, tmp_path / "rows.parquet", quiet)
    table = pq.read_table(tmp_path / "rows.parquet").to_pydict()
    assert table == {"question": ["1", "3", "5"], "answer": ["2", "4", "6"], "more": [None, None, "[1]"]}
    assert (reading.file, reading.row_count, reading.size_bytes) == ("a.csv and 1 more", 3, 70)
    assert reading.notes[0] == "The column “more” is missing in a.csv; its values there are empty."
    kinds = {column.name: (column.kind, column.missing) for column in reading.columns}
    assert kinds["more"] == ("list", 2)


def test_shards_and_the_whole_give_the_same_rows_and_hash(tmp_path: Path) -> None:
    lines = [f"question {index},{index}\n" for index in range(10_000)]
    whole = write(tmp_path, "whole.csv", "q,a\n" + "".join(lines))
    parts = [
        write(tmp_path, f"{index}.csv", "q,a\n" + "".join(lines[index * 2500 : (index + 1) * 2500]))
        for index in range(4)
    ]
    joined = read_files(parts, tmp_path / "joined.parquet", quiet)
    alone = read_file(whole.path, whole.name, tmp_path / "alone.parquet", quiet)
    assert pq.read_table(tmp_path / "joined.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))
    assert (joined.rows_sha256, joined.row_count) == (alone.rows_sha256, 10_000)


def test_a_bad_part_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    files = [write(tmp_path, "a.csv", "q,a\n1,2\n"), write(tmp_path, "b.csv", "q,a\n1,2,3\n")]
    with pytest.raises(UserError, match="Row 1 has 3 values") as caught:
        read_files(files, tmp_path / "rows.parquet", quiet)
    assert "b.csv" in caught.value.where
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_a_cancel_while_parts_are_joined_leaves_nothing(tmp_path: Path) -> None:
    files = [write(tmp_path, f"{index}.csv", "q,a\n1,2\n") for index in range(3)]
    with pytest.raises(Cancelled):
        read_files(files, tmp_path / "rows.parquet", StopsAfter(1))
    assert not list(tmp_path.glob("rows*")) and not list(tmp_path.glob("parts-*"))
