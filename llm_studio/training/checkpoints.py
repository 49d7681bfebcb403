"""The state a training goes on from: written beside the old one, synced, checked and renamed, so that a torn one is
never chosen.

A state is a folder: the trained weights (safetensors), the optimiser (`torch.save` of tensors and numbers, read back
with weights_only=True), and the progress with the size and checksum of both (JSON). The order of rows and the random
numbers of a step are functions of seed and step, so that there is nothing else to keep.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors.torch import load_file, save_file

from llm_studio.errors import UserError

PREFIX, PART = "step-", ".part"
WEIGHTS, OPTIMIZER, PROGRESS = "weights.safetensors", "optimizer.pt", "progress.json"
VERSION = 1
ROOM = 1.1
"""Free disk space wanted for a state, in times of its size."""
BLOCK = 2**22


@dataclass(frozen=True)
class State:
    """Everything needed to go on. step: optimiser steps done. weights: the trained ones by name.

    progress: numbers and texts of whoever trains (tokens seen, seconds, the size of micro-batches).
    """

    step: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    progress: dict[str, Any]


class Checkpoints:
    """The states of one experiment in a folder; the newest whole one counts, older ones are removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: State) -> int:
        """Write a state; gives its size in bytes.

        Raises:
            UserError: the disk has no room; the state before it is kept.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.need_room(size_of(state.weights) + size_of(state.optimizer))
        target = self._folder / f"{PREFIX}{state.step:08d}"
        beside = target.with_suffix(PART)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        save_file({name: weight.contiguous() for name, weight in state.weights.items()}, beside / WEIGHTS)
        torch.save(state.optimizer, beside / OPTIMIZER)
        files = {name: checksum(beside / name) for name in (WEIGHTS, OPTIMIZER)}
        written = {"version": VERSION, "step": state.step, "files": files, "progress": state.progress}
        (beside / PROGRESS).write_text(json.dumps(written), encoding="utf-8")
        for name in (WEIGHTS, OPTIMIZER, PROGRESS):
            sync(beside / name)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
        sync(self._folder)
        size = sum(path.stat().st_size for path in target.iterdir())
        for old in self._folder.iterdir():
            if old != target and old.name.startswith(PREFIX):
                shutil.rmtree(old, ignore_errors=True)
        return size

    def newest(self) -> State | None:
        """The newest state that is whole; None when there is none."""
        if not self._folder.is_dir():
            return None
        for folder in sorted(self._folder.glob(f"{PREFIX}*"), reverse=True):
            if folder.suffix != PART and (written := whole(folder)) is not None:
                weights = load_file(folder / WEIGHTS)
                optimizer = torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu")
                return State(int(written["step"]), weights, optimizer, written["progress"])
        return None

    def need_room(self, size_bytes: int) -> None:
        """Refuse to write what does not fit beside what is there.

        Raises:
            UserError: with what is free and what is needed.
        """
        folder = next(path for path in (self._folder, *self._folder.parents) if path.is_dir())
        free = shutil.disk_usage(folder).free
        if free < size_bytes * ROOM:
            raise UserError(
                f"A checkpoint takes {size_bytes / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB of the disk are free.",
                where=str(self._folder),
                fix="Delete experiments or data sets that are no longer needed, then continue.",
            )


def whole(folder: Path) -> dict[str, Any] | None:
    """What a state's progress file says, when every file is as it was written; else None."""
    try:
        written: dict[str, Any] = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        files: Mapping[str, str] = written["files"]
        good = written["version"] == VERSION and set(files) == {WEIGHTS, OPTIMIZER}
        good = good and all(checksum(folder / name) == value for name, value in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return written if good else None


def checksum(path: Path) -> str:
    """XXH3 of a file, with its size in front."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return f"{path.stat().st_size}:{digest.hexdigest()}"


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(value: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 0
