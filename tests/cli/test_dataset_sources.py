"""What `llm-studio dataset import` takes for a source."""

from pathlib import Path

import pytest

from llm_studio.catalog.connectors import CONNECTORS
from llm_studio.cli.dataset import source_of
from llm_studio.data.connectors import address
from llm_studio.errors import UserError


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("starter:story_questions", {"kind": "starter", "name": "story_questions"}),
        ("hub:owner/name", {"kind": "hub", "repository": "owner/name"}),
        ("hub:owner/name@v1.0", {"kind": "hub", "repository": "owner/name", "revision": "v1.0"}),
        ("hub:owner/name/en:test", {"kind": "hub", "repository": "owner/name", "config": "en", "split": "test"}),
        ("hub:owner/name:test", {"kind": "hub", "repository": "owner/name", "split": "test"}),
        ("hub:owner/name@v1/en:test",
         {"kind": "hub", "repository": "owner/name", "revision": "v1", "config": "en", "split": "test"}),
        ("s3://bucket/a/b.csv", {"kind": "s3", "bucket": "bucket", "key": "a/b.csv"}),
        ("https://example.org/a.csv?x=1", {"kind": "https", "url": "https://example.org/a.csv?x=1"}),
        ("azure:sets/a/b.csv", {"kind": "azure", "container": "sets", "blob": "a/b.csv"}),
        ("kaggle:owner/name", {"kind": "kaggle", "dataset": "owner/name"}),
        ("kaggle:owner/name/a.csv", {"kind": "kaggle", "dataset": "owner/name", "file": "a.csv"}),
    ],
)  # fmt: skip
def test_a_source_is_taken_apart_and_spelled_the_same_again(text: str, source: dict[str, str]) -> None:
    assert source_of(text) == source
    if source["kind"] != "starter":
        assert address(source) == text.partition("?")[0]


def test_anything_else_is_a_file_here(tmp_path: Path) -> None:
    assert source_of(str(tmp_path / "a.csv")) == {"kind": "local", "path": str(tmp_path / "a.csv")}


@pytest.mark.parametrize("text", ["hub:name:", "hub:a/b/c/d", "s3://bucket", "azure:sets", "kaggle:name"])
def test_half_a_source_is_said_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UserError, match="is not a source") as caught:
        source_of(text)
    assert text.partition(":")[0] in caught.value.fix


def test_every_source_that_is_fetched_can_be_named() -> None:
    named = {source_of(text)["kind"] for text in ("hub:a/b", "s3://a/b", "https://a/b", "azure:abc/b", "kaggle:a/b")}
    assert named == {entry.name for entry in CONNECTORS if entry.fetches}
