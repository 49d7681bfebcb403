"""What checkpoints take on the disk and how long they take to write; and weights that are as before after measuring."""

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from llm_studio.modeling.adapter_start import save_model
from llm_studio.training.checkpoints import size_of, sync

WRITTEN_BYTES = 256_000_000
"""A checkpoint up to this size is written to be measured; of a larger one, a file of this size."""
WEIGHTS, SAMPLE = "weights.safetensors", "sample.bin"


@dataclass(frozen=True)
class Written:
    """Bytes on the disk, and seconds to write them."""

    bytes_: int
    seconds: float


def write_checkpoint(model: Any, tokenizer: Any, folder: Path) -> Written:
    """One of "best" and "last", as the experiment writes it."""
    expected = checkpoint_weights(model)
    if expected > WRITTEN_BYTES:
        return write_sample(expected, folder)
    target = folder / "checkpoint"
    began = time.perf_counter()
    save_model(model, target)
    tokenizer.save_pretrained(str(target))
    seconds = time.perf_counter() - began
    size = folder_size(target)
    shutil.rmtree(target)
    return Written(size, seconds)


def write_state(trainer: Any, folder: Path) -> Written:
    """The state to go on from, as the trainer writes it into `folder`."""
    expected = size_of(dict(trained_weights(trainer.model))) + size_of(trainer.optimizer.state_dict())
    if expected > WRITTEN_BYTES:
        return write_sample(expected, folder)
    began = time.perf_counter()
    trainer.save()
    seconds = time.perf_counter() - began
    return Written(folder_size(folder), seconds)


def write_sample(expected: int, folder: Path) -> Written:
    """The same for what is too large to be written only to be measured: by the pace of a smaller file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SAMPLE
    block = random.Random(0).randbytes(2**16)
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(WRITTEN_BYTES // len(block)):
            file.write(block)
    sync(path)
    pace = path.stat().st_size / max(1e-9, time.perf_counter() - began)
    path.unlink()
    return Written(expected, expected / pace)


def checkpoint_weights(model: Any) -> int:
    """Bytes of the weights in a checkpoint: those of the adapter, or all where there is none."""
    adapter = hasattr(model, "peft_config")
    return size_of(dict(trained_weights(model))) if adapter else size_of(dict(model.named_parameters()))


def trained_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of what is trained."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


@contextmanager
def undisturbed(model: Any, folder: Path) -> Iterator[None]:
    """Afterwards trained weights, gradients, mode and random numbers are bit for bit as before.

    The copy lies in a file, so that it takes none of the memory that is measured meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    mode = model.training
    numbers = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    of_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    save_file({name: weight.detach().cpu().contiguous() for name, weight in trained_weights(model)}, path)
    try:
        yield
    finally:
        with torch.no_grad(), safe_open(str(path), framework="pt") as kept:
            for name, weight in trained_weights(model):
                weight.copy_(kept.get_tensor(name))
                weight.grad = None
        path.unlink()
        model.train(mode)
        random.setstate(numbers[0])
        np.random.set_state(numbers[1])
        torch.set_rng_state(numbers[2])
        if of_devices:
            torch.cuda.set_rng_state_all(of_devices)
            torch.cuda.empty_cache()


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
