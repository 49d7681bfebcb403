"""A checkpoint knows how far it was trained and on which weights, wherever the backbone's files lie."""

import shutil
from pathlib import Path

import pytest

from llm_studio.errors import UserError
from llm_studio.modeling.origin import (
    PIECE_BYTES,
    PIECES,
    Origin,
    read_origin,
    refuse_other_weights,
    weights_fingerprint,
    write_origin,
)


def folder_with(path: Path, weights: bytes) -> Path:
    path.mkdir()
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_says_what_was_written_and_nothing_for_a_damaged_file(tmp_path: Path) -> None:
    origin = Origin(step=12, epoch=1.5, backbone="starter", fingerprint="ab")
    assert read_origin(tmp_path) is None
    write_origin(tmp_path, origin)
    assert read_origin(tmp_path) == origin
    (tmp_path / "origin.json").write_text('{"step": 1}')
    assert read_origin(tmp_path) is None


def test_a_copy_has_the_same_fingerprint_and_trained_weights_another(tmp_path: Path) -> None:
    large = bytes(range(256)) * (2 * PIECES * PIECE_BYTES // 256)
    first = folder_with(tmp_path / "first", large)
    shutil.copytree(first, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("Words do not count.")
    changed = folder_with(tmp_path / "changed", bytes(255 - value for value in large[:4096]) * (len(large) // 4096))
    longer = folder_with(tmp_path / "longer", large + b"\0")
    assert weights_fingerprint(first) == weights_fingerprint(tmp_path / "copy")
    assert len({weights_fingerprint(one) for one in (first, changed, longer)}) == 3
    assert weights_fingerprint(tmp_path) == ""


def test_every_byte_of_a_small_file_counts(tmp_path: Path) -> None:
    first = folder_with(tmp_path / "first", b"0" * 1000)
    other = folder_with(tmp_path / "other", b"0" * 500 + b"1" + b"0" * 499)
    assert weights_fingerprint(first) != weights_fingerprint(other)


def test_other_weights_are_refused_and_unknown_ones_said(tmp_path: Path) -> None:
    origin = Origin(1, 1.0, "starter", "ab")
    assert refuse_other_weights(origin, "ab", backbone="starter", of="the adapter of first") == ""
    assert "is not known" in refuse_other_weights(None, "ab", backbone="starter", of="the adapter of first")
    with pytest.raises(UserError, match="not those that the adapter of first was trained on"):
        refuse_other_weights(origin, "cd", backbone="starter", of="the adapter of first")
