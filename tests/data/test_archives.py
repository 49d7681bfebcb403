"""Packed files are unpacked within bounds; what no archive of data holds is refused."""

import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from llm_studio.data.reading import Reading, archives, progress, read_file
from llm_studio.errors import Cancelled, UserError

Read = Callable[..., tuple[Reading, list[dict[str, str | None]]]]
CSV = b"q,a\n1,x\n2,y\n"
LINES = b'{"q": "3", "a": "z"}\n{"q": "4", "a": null}\n'
ROWS = [{"q": "1", "a": "x"}, {"q": "2", "a": "y"}]


def zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, "zstd", asbytes=True)
    return compressed


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue().to_pybytes())


PACKED = {
    "a.csv.gz": gzip.compress(CSV),
    "a.csv.zst": zstd(CSV),
    "a.zip": zipped({"folder/": b"", "folder/a.csv": CSV}),
    "a.tar": tarred({"a.csv": CSV}),
    "a.tar.gz": gzip.compress(tarred({"./a.csv": CSV})),
    "a.tgz": gzip.compress(tarred({"a.csv": CSV})),
    "a.tar.zst": zstd(tarred({"a.csv": CSV})),
    "a.gz": gzip.compress(CSV.replace(b",", b"\t") + b"5\t6\n"),
    "part-0001.parquet.gz": gzip.compress(parquet([{"q": "1", "a": "x"}, {"q": "2", "a": "y"}])),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_single_file_is_read_however_it_is_packed(name: str, read: Read, tmp_path: Path) -> None:
    reading, rows = read(PACKED[name], name)
    assert rows[:2] == ROWS
    kind = "zip" if name.endswith("zip") else "zstd" if name.endswith("zst") else "tar" if name == "a.tar" else "gzip"
    assert reading.format.endswith(f" in {kind}") and reading.size_bytes == len(PACKED[name])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rows.parquet"]
    assert read(PACKED[name], "called.csv")[1][:2] == ROWS


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_several_files_of_the_same_columns_are_one_table(pack: Callable[..., bytes], read: Read) -> None:
    members = {
        "part-10.parquet": parquet([{"a": "w", "q": "5"}]),
        "part-2.jsonl": LINES,
        "part-1.csv": CSV,
        "README.md": b"About this data.",
        "picture.png": b"...",
        "__MACOSX/._part-1.csv": b"litter",
        "dataset_info.json": b"{}",
    }
    reading, rows = read(pack(members), "a.zip")
    assert rows == [*ROWS, {"q": "3", "a": "z"}, {"q": "4", "a": None}, {"q": "5", "a": "w"}]
    assert reading.notes == (
        "3 files were read one after the other as one table: part-1.csv, part-2.jsonl, part-10.parquet.",
        "Left aside in the archive: README.md, picture.png, dataset_info.json.",
    )
    assert reading.format.startswith("CSV, JSON Lines, Parquet in ")


def test_texts_of_an_archive_are_rows(read: Read) -> None:
    reading, rows = read(zipped({f"{i}.txt": f"Text {i}\n".encode() for i in range(12)}), "a.zip")
    assert [row["text"] for row in rows] == [f"Text {i}\n" for i in range(12)]
    assert len(reading.notes) == 2


def test_a_note_on_one_file_names_it_and_row_errors_count_within_their_file(read: Read, tmp_path: Path) -> None:
    reading, _ = read(zipped({"a.csv": CSV, "b.csv": b"q;a\n1;x\nbad\n2;y\n"}), "a.zip")
    assert reading.notes[1] == "a.zip/b.csv: The values are separated by semicolons."
    record = json.loads((tmp_path / "out" / "rejected.jsonl").read_text())
    assert (record["file"], record["row"], record["text"]) == ("a.zip/b.csv", 2, "bad")


def test_files_of_other_columns_are_refused(read: Read, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(zipped({"a.csv": CSV, "b.csv": b"q,b\n1,2\n"}), "a.zip")
    assert caught.value.what == "a.zip/b.csv has other columns than a.zip/a.csv: it has also “b”; it lacks “a”."
    assert caught.value.where == "a.zip/b.csv"
    assert list((tmp_path / "out").iterdir()) == []


def with_link() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return out.getvalue()


def with_zip_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("a.csv")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def with_password() -> bytes:
    content = bytearray(zipped({"a.csv": CSV}))
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    content[6] |= 1
    return bytes(content)


WHOLE = zipped({"a.csv": os.urandom(5000).hex().encode()})
REFUSED = {
    "a link in tar": ("a.tar", with_link(), r"a\.csv in a\.tar is a link"),
    "a link in zip": ("a.zip", with_zip_link(), r"a\.csv in a\.zip is a link"),
    "a path outside": ("a.zip", zipped({"../a.csv": CSV}), r"leads outside the archive"),
    "an absolute path": ("a.tar", tarred({"/etc/a.csv": CSV}), r"leads outside the archive"),
    "a drive": ("a.zip", zipped({"C:\\a.csv": CSV}), r"leads outside the archive"),
    "an archive within": ("a.zip", zipped({"a.csv": CSV, "b.zip": zipped({})}), r"holds another archive: b\.zip"),
    "an archive under another name": ("a.zip", zipped({"a.csv": gzip.compress(CSV)}), r"is another archive \(gzip\)"),
    "gzip within gzip": ("a.csv.gz", gzip.compress(gzip.compress(CSV)), r"is another archive \(gzip\)"),
    "no data": ("a.zip", zipped({"b.png": b"..."}), r"holds no data file \(b\.png\)"),
    "an empty zip": ("a.zip", zipped({}), r"holds no data file\."),
    "a password": ("a.zip", with_password(), r"protected by a password"),
    "cut off gzip": ("a.csv.gz", gzip.compress(os.urandom(5000))[:3000], r"damaged gzip file"),
    "cut off zstd": ("a.csv.zst", zstd(os.urandom(5000))[:3000], r"damaged zstd file"),
    "cut off tar": ("a.tar", tarred({"a.csv": CSV * 500})[:3000], r"damaged tar file"),
    "damaged zip": ("a.zip", WHOLE[:100] + b"\0\1\2" * 20 + WHOLE[160:], r"damaged zip file"),
    "an empty file within": ("a.zip", zipped({"a.csv": b""}), r"a\.zip/a\.csv is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_what_where_and_fix(case: str, read: Read, tmp_path: Path) -> None:
    name, content, what = REFUSED[case]
    with pytest.raises(UserError, match=what) as caught:
        read(content, name)
    assert caught.value.where.startswith("a.") and caught.value.fix
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv.gz", "a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    ("limit", "value", "what"),
    [
        ("RATIO_FROM_BYTES", 1000, "grows to more than 200 times its size"),
        ("UNPACKED_BYTES", 1000, "holds more than"),
        ("FREE_BYTES", 2**60, "disk is nearly full"),
    ],
)
def test_unpacking_stops_at_its_limits(
    limit: str, value: int, what: str, name: str, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, limit, value)
    content = b"q\n" + b"0" * 5_000_000
    packs = {"a.csv.gz": gzip.compress(content), "a.zip": zipped({"a.csv": content})}
    packs["a.tar.gz"] = gzip.compress(tarred({"a.csv": content}))
    with pytest.raises(UserError, match=what) as caught:
        read(packs[name], name)
    assert caught.value.where and caught.value.fix
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_the_number_of_files_is_limited(
    pack: Callable[..., bytes], read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MEMBERS", 3)
    with pytest.raises(UserError, match="holds more than 3 files"):
        read(pack({f"{i}.csv": CSV for i in range(4)}), "a.zip")


@pytest.mark.parametrize("words", ["Unpacking", "Reading", "Checking"])
def test_cancelling_leaves_nothing_behind(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    (tmp_path / "a.zip").write_bytes(zipped({"a.csv": CSV, "b.csv": CSV}))
    (tmp_path / "out").mkdir()

    def report(share: float | None, said: str) -> None:
        if said.startswith(words):
            raise Cancelled

    with pytest.raises(Cancelled):
        read_file(tmp_path / "a.zip", "a.zip", tmp_path / "out" / "rows.parquet", report)
    assert list((tmp_path / "out").iterdir()) == []


def test_shares_of_a_packed_file_grow_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    (tmp_path / "a.zip").write_bytes(zipped({f"{i}.csv": CSV * 1000 for i in range(5)}))
    heard: list[tuple[float | None, str]] = []
    read_file(tmp_path / "a.zip", "a.zip", tmp_path / "rows.parquet", lambda share, words: heard.append((share, words)))
    shares = [share for share, words in heard if words.startswith("Reading: ") and share is not None]
    assert len(shares) >= 5 and shares == sorted(shares) and shares[-1] == 1.0


def arrow(new: Callable[..., Any]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"q": ["a", "bé", None] * 20, "m": [[{"x": "y"}], None, []] * 20})
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def excel() -> bytes:
    book = openpyxl.Workbook()
    for row in [["q", "a"], *[[f"x{i}", i] for i in range(20)]]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


SOUND = {
    **{name: PACKED[name] for name in ("a.csv.gz", "a.csv.zst", "a.zip", "a.tar")},
    "a.csv": CSV * 10,
    "a.jsonl": LINES * 10,
    "a.json": json.dumps(ROWS * 10).encode(),
    "a.parquet": parquet([{"q": "1", "a": "é"}] * 20),
    "a.arrow": arrow(pa.ipc.new_file),
    "b.arrow": arrow(pa.ipc.new_stream),
    "a.xlsx": excel(),
}
PIECES = (b"\0", b'"', b"\n", b"{", b",", b"\xff\xff", b"\xc3\xa9", b"\\ud800")


@pytest.mark.parametrize("name", SOUND)
def test_a_file_damaged_anywhere_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    for turn in range(60):
        content = bytearray(SOUND[name])
        for _ in range(chance.choice((1, 2, 10))):
            at = chance.randrange(len(content))
            content[at : at + chance.choice((0, 1, 10))] = chance.choice(PIECES)
        (tmp_path / name).write_bytes(content[: chance.choice((len(content), len(content) - 30))])
        out = tmp_path / f"out-{turn}"
        out.mkdir()
        try:
            read_file(tmp_path / name, name, out / "rows.parquet", lambda share, words: None)
        except UserError as error:
            assert error.what and error.where and error.fix
            assert list(out.iterdir()) == []
