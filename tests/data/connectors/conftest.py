"""Servers and stores for the tests of the connectors."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from llm_studio.data.reading import progress
from llm_studio.store import Home, Store
from tests.support.web import Answer, Site, running_site

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KAGGLE_KEY")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in a new home, with no credentials in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a connector puts what it fetches."""
    path = tmp_path / "fetched"
    path.mkdir()
    return path


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Site]]:
    """Starts web servers that end with the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(running_site(answer))


@pytest.fixture(autouse=True)
def reports_at_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test can cancel in the middle of a transfer without waiting for time to pass."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
