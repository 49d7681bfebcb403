"""A studio of its own for a test that leaves more behind than others expect."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Studio


@pytest.fixture
def own_studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio with an empty home; nothing of it is left when the test ends."""
    started = Studio(tmp_path / "studio", port=22101)
    yield started
    assert not started.stop()
