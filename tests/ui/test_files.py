"""Files to and from the browser: names of our own, nothing outside the folders, nothing opened as a page."""

import os
import time
import uuid
from pathlib import Path

import pytest

from llm_studio.errors import UserError
from llm_studio.store import Home
from llm_studio.ui import downloads
from llm_studio.ui.page import Download
from llm_studio.ui.uploads import files_folder, take_upload


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def uploaded(home: Home, name: str, words: bytes = b"a,b\n") -> str:
    folder = files_folder(home) / str(uuid.uuid4())
    folder.mkdir(parents=True)
    (folder / name).write_bytes(words)
    return f"/_f/{folder.name}/{name}"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("data.csv", ".csv"), ("a b ä.JSON", ".json"), ("..\\evil.txt", ".txt"), ("%2e%2e%2fx.csv", ".csv"),
     ("noname", ""), ("<img src=x>.html", ".html"), ("x." + "y" * 50, "")],
)  # fmt: skip
def test_an_upload_gets_a_name_of_ours_and_keeps_its_own_to_show(home: Home, name: str, suffix: str) -> None:
    url = uploaded(home, name)
    upload = take_upload(home, url)
    assert upload.path.parent == home.uploads and upload.path.suffix == suffix and len(upload.path.stem) == 16
    assert upload.path.read_bytes() == b"a,b\n" and upload.size_bytes == 4
    assert upload.name and "\n" not in upload.name
    assert list(files_folder(home).iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["", "/etc/passwd", "/_f/../../etc/passwd", "/_f/x/y", "http://evil.example/_f/x", "/_f/{0}/../../x",
     "/_f/{0}/..", "/_f/{0}/.", "/_f/{0}/%2e%2e%2f%2e%2e%2fstudio.db", "/_f/{0}/a/b", "/_f/{0}/missing.csv"],
)  # fmt: skip
def test_an_address_that_is_no_upload_is_refused(home: Home, url: str) -> None:
    folder = files_folder(home) / str(uuid.uuid4())
    folder.mkdir(parents=True)
    (home.path / "studio.db").write_text("x")
    with pytest.raises(UserError, match="not there any more"):
        take_upload(home, url.format(folder.name))
    assert (home.path / "studio.db").exists()


def test_an_upload_that_is_a_link_is_refused(home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    folder = files_folder(home) / str(uuid.uuid4())
    folder.mkdir(parents=True)
    (folder / "a.csv").symlink_to(secret)
    with pytest.raises(UserError):
        take_upload(home, f"/_f/{folder.name}/a.csv")


def test_a_download_is_a_link_that_no_browser_opens_as_a_page(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "adapter.html"
    file.write_text("x")
    made = downloads.publish(home, Download(file, 'my "adapter"/x.html'))
    assert made["filename"] == "my _adapter__x.html" and made["url"].endswith(".bin")
    link = files_folder(home) / made["url"].removeprefix("/_f/")
    assert link.is_symlink() and link.read_text() == "x"
    assert uuid.UUID(made["url"].split("/")[2]).version == 4
    assert downloads.publish(home, Download(file, "x"))["url"] != made["url"]


def test_downloads_end_after_an_hour_and_at_the_start(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_text("x")
    old = files_folder(home) / downloads.publish(home, Download(file, "a.zip"))["url"].removeprefix("/_f/")
    os.utime(old, (time.time() - 4000,) * 2, follow_symlinks=False)
    new = files_folder(home) / downloads.publish(home, Download(file, "a.zip"))["url"].removeprefix("/_f/")
    assert not old.exists() and new.exists()
    downloads.clear(home)
    assert not new.exists() and file.exists()


def test_a_file_that_is_gone_is_said(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.zip is not there"):
        downloads.publish(home, Download(tmp_path / "gone", "a.zip"))
