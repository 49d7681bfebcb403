"""The connector for Kaggle: its own library against a web server on a loopback port that speaks the two calls."""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from kagglesdk import kaggle_env

from llm_studio.data.connectors import SourceFile, check, fetch
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.web import Answer, Site, StopsAfter, quiet, reply

ROWS = b"question,answer\n1,2\n"
LOGIN = "Basic " + base64.b64encode(b"me:right").decode()


def packed(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


SETS: dict[str, dict[str, bytes]] = {
    "one": {"rows.csv": ROWS, "about.pdf": b"%PDF"},
    "several": {"a.csv": ROWS, "b.jsonl": b'{"q": 1}\n'},
    "zipped": {"rows.csv": packed(rows=ROWS)},
    "two-in-one": {"rows.csv": packed(a=ROWS, b=ROWS)},
    "torn": {"rows.csv": packed(rows=ROWS)[:-30]},
    "pictures": {"a.png": b"\x89PNG"},
    "large": {"rows.csv": ROWS + b"1,2\n" * 2_000_000},
}


def answer(handler: BaseHTTPRequestHandler) -> None:
    """What Kaggle says."""
    asked = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))))
    if handler.headers.get("Authorization") != LOGIN:
        return reply(handler, json.dumps({"code": 401, "message": "Unauthenticated"}).encode(), 401)
    files = SETS.get(asked["datasetSlug"]) if asked["ownerSlug"] == "someone" else None
    if files is None:
        return reply(handler, json.dumps({"code": 403, "message": "Permission denied"}).encode(), 403)
    if handler.path.endswith("/ListDatasetFiles"):
        listed = {"datasetFiles": [{"name": name, "totalBytes": len(content)} for name, content in files.items()]}
        return reply(handler, json.dumps(listed).encode(), Content_Type="application/json")
    return reply(handler, files[asked["fileName"]], Content_Type="application/octet-stream")


@pytest.fixture
def kaggle(serve: Callable[[Answer], Site], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A Kaggle that the library takes for the one of its own tests."""
    site = serve(answer)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, f"http://127.0.0.1:{site.port}")
    yield site


def get(store: Store, folder: Path, name: str, report: Any = quiet, **more: str) -> tuple[SourceFile, ...]:
    return fetch(store, {"kind": "kaggle", "dataset": name, "username": "me", **more}, folder, report)


@pytest.fixture
def known(store: Store) -> Store:
    """A store with the right key."""
    store.secrets.set("kaggle_key", "right")
    return store


def test_fetches_the_only_file_that_can_be_read(kaggle: Site, known: Store, folder: Path) -> None:
    (file,) = get(known, folder, "someone/one")
    assert (file.name, file.title, file.path.read_bytes()) == ("rows.csv", "one", ROWS)


def test_a_file_is_chosen_by_name_and_several_are_listed(kaggle: Site, known: Store, folder: Path) -> None:
    assert get(known, folder, "someone/several", file="b.jsonl")[0].path.read_bytes() == b'{"q": 1}\n'
    with pytest.raises(UserError, match="2 files to choose from") as several:
        get(known, folder, "someone/several")
    with pytest.raises(UserError, match=r"no file 'c\.csv'") as wrong:
        get(known, folder, "someone/several", file="c.csv")
    assert "a.csv, b.jsonl" in several.value.fix and "a.csv, b.jsonl" in wrong.value.fix
    with pytest.raises(UserError, match="holds no file of"):
        get(known, folder, "someone/pictures")


def test_a_packed_file_is_unpacked_and_a_whole_archive_refused(kaggle: Site, known: Store, folder: Path) -> None:
    (file,) = get(known, folder, "someone/zipped")
    assert file.path.read_bytes() == ROWS and list(folder.iterdir()) == [file.path]
    file.path.unlink()
    with pytest.raises(UserError, match="archive of 2 files"):
        get(known, folder, "someone/two-in-one")
    (folder / "rows.csv").unlink()
    with pytest.raises(UserError, match="cannot be unpacked"):
        get(known, folder, "someone/torn")


def test_a_wrong_key_and_an_unknown_data_set_are_told_apart(kaggle: Site, known: Store, folder: Path) -> None:
    with pytest.raises(UserError, match="no data set someone/none"):
        get(known, folder, "someone/none")
    known.secrets.set("kaggle_key", "wr0ng")
    with pytest.raises(UserError, match="refuses the user name or key") as caught:
        get(known, folder, "someone/one")
    assert "wr0ng" not in str(caught.value) and caught.value.fix


def test_no_network_is_said(kaggle: Site, known: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        get(known, folder, "someone/one")


def test_a_cancel_in_the_middle_leaves_nothing(kaggle: Site, known: Store, folder: Path) -> None:
    report = StopsAfter(4)
    with pytest.raises(Cancelled):
        get(known, folder, "someone/large", report)
    assert 0 < (report.shares[-1] or 0) < 1
    assert list(folder.iterdir()) == [] and any(path.endswith("/DownloadDataset") for path in kaggle.asked)


@pytest.mark.parametrize("name", ["x", "a/b/c", "a/b --unzip", "../x"])
def test_a_name_that_is_none_is_refused_without_the_network(name: str, kaggle: Site, known: Store) -> None:
    with pytest.raises(UserError, match="is not the name of a data set"):
        check(known, {"kind": "kaggle", "dataset": name, "username": "me"})
    assert kaggle.asked == []


def test_no_credentials_are_said(store: Store) -> None:
    with pytest.raises(UserError, match="user name and API key is missing"):
        check(store, {"kind": "kaggle", "dataset": "a/b"})
    with pytest.raises(UserError, match="The API key is missing"):
        check(store, {"kind": "kaggle", "dataset": "a/b", "username": "me"})
