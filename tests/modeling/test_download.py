"""A backbone is fetched over a real socket, with progress in words, and can be stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.download import fetch, in_words
from tests.support.hub import Hub, Repository, running_hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for module in (constants, __import__("huggingface_hub.file_download", fromlist=["x"])):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {"config.json": b"{}", "model.safetensors": b"x" * 3_000_000, "pytorch_model.bin": b"y" * 10}
    with running_hub(owner__model=Repository(files)) as running:
        yield running


def test_brings_weights_and_small_files_and_tells_how_far_it_is(hub: Hub) -> None:
    told: list[str] = []
    folder = fetch("owner/model", revision="main", total_bytes=3_000_002, report=told.append, endpoint=hub.address)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert told[0] == "Downloading the backbone: 0 of 3.0 MB"
    assert told[-1] == "Downloading the backbone: 3.0 MB of 3.0 MB"


def test_a_stop_ends_the_download(hub: Hub) -> None:
    with pytest.raises(Cancelled):
        fetch(
            "owner/model", revision="main", total_bytes=0, report=print, should_stop=lambda: True, endpoint=hub.address
        )


def test_a_hub_that_is_gone_is_said_in_plain_words(hub: Hub) -> None:
    with pytest.raises(UserError) as caught:
        fetch("owner/other", revision="main", total_bytes=0, report=print, endpoint=hub.address)
    assert "owner/other broke off" in caught.value.what


def test_sizes_are_written_as_people_read_them() -> None:
    assert [in_words(size) for size in (400_000, 2_400_000, 16_100_000_000)] == ["0.4 MB", "2.4 MB", "16.10 GB"]
