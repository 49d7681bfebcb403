"""Writes files and reads them into Parquet for the tests of `data`."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_studio.data.reading import Reading, read_file

Rows = list[dict[str, str | None]]
Read = Callable[..., tuple[Reading, Rows]]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes bytes or text under a name, reads it and gives what was read with all rows."""

    def go(content: bytes | str, name: str) -> tuple[Reading, Rows]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        reading = read_file(path, name, out / "rows.parquet", lambda share, words: None)
        return reading, pq.read_table(out / "rows.parquet").to_pylist()

    return go


@pytest.fixture
def shared_file() -> Callable[[str], Path]:
    """A file of real data; the test is skipped where the folder is absent."""

    def go(name: str) -> Path:
        if not (SHARED / name).is_file():
            pytest.skip(f"{name} is not here: the folder of real data is not part of a clone")
        return SHARED / name

    return go
