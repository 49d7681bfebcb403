"""Fixtures that every test may use; nothing heavy is imported here."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import chromium, page, studio

if TYPE_CHECKING:
    from llm_studio.store import Store

__all__ = ["chromium", "page", "store", "studio"]


@pytest.fixture
def store(tmp_path: Path) -> "Iterator[Store]":
    """A store in a new home."""
    from llm_studio.store import Home, Store

    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    yield opened
    opened.close()
