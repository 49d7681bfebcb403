"""What a checkpoint says of where it comes from: how far it was trained, and the weights of the backbone below it.

Imports neither torch nor transformers, so that a page can use it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from llm_studio.errors import UserError
from llm_studio.modeling.facts import WEIGHTS

FILE = "origin.json"
PIECE_BYTES = 65_536
PIECES = 64
"""Pieces of each file that are read, spread evenly: training changes every one, and a file of 16 GB takes a moment."""


@dataclass(frozen=True)
class Origin:
    """step: optimiser steps in all. epoch: passes over the rows in all. backbone: its name; fingerprint: of its
    weights, empty when it was not on disk."""

    step: int
    epoch: float
    backbone: str
    fingerprint: str


def write_origin(checkpoint: Path, origin: Origin) -> None:
    """Put it into a checkpoint's folder."""
    (checkpoint / FILE).write_text(json.dumps(asdict(origin), indent=2) + "\n", encoding="utf-8")


def read_origin(checkpoint: Path) -> Origin | None:
    """What the checkpoint says; None for one of an earlier studio, or when its file is damaged."""
    try:
        found = json.loads((checkpoint / FILE).read_text(encoding="utf-8"))
        return Origin(int(found["step"]), float(found["epoch"]), str(found["backbone"]), str(found["fingerprint"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 over names, sizes and pieces of the weight files: the same for a copy elsewhere, another one after any
    training; empty when there are no weights. A change of single bytes between the pieces goes unseen.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in folder.glob("*") if path.name.endswith(WEIGHTS))
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            _add_pieces(digest, file, size)
    return digest.hexdigest() if files else ""


def _add_pieces(digest: "hashlib._Hash", file: BinaryIO, size: int) -> None:
    if size <= PIECES * PIECE_BYTES:
        digest.update(file.read())
        return
    for number in range(PIECES):
        file.seek((size - PIECE_BYTES) * number // (PIECES - 1))
        digest.update(file.read(PIECE_BYTES))


def refuse_other_weights(origin: Origin | None, fingerprint: str, *, backbone: str, of: str) -> str:
    """Refuse to put tuned weights on a backbone they were not trained on; a sentence when it cannot be known.

    of: whose weights they are, in words ("the adapter of first").

    Raises:
        UserError: the backbone's weight files are others than they were.
    """
    if origin is None or not origin.fingerprint or not fingerprint:
        return f"Whether {backbone} still has the weights that {of} was trained on is not known."
    if origin.fingerprint != fingerprint:
        raise UserError(
            f"The weights of the backbone {backbone} are not those that {of} was trained on.",
            where=f"backbone {backbone}",
            fix="Put its files back as they were, or start from the backbone alone.",
        )
    return ""
