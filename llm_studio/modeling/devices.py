"""Chooses device, number type and thread count, and says why."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from llm_studio.config.environment import Environment
from llm_studio.config.memory import ORDER, USABLE, Fit, Needs, fitting, kind_of
from llm_studio.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a container may use."""


@dataclass(frozen=True)
class Choice:
    """A value with its reason."""

    value: str
    reason: str


def choose_device(wanted: str) -> Choice:
    """ "auto", "cpu" or "cuda:0" as the device to use.

    Raises:
        UserError: there is no such device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return Choice("cuda:0", "the first GPU") if count else Choice("cpu", "there is no GPU")
    if wanted == "cpu":
        return Choice("cpu", "as set")
    number = wanted.removeprefix("cuda:")
    if wanted.startswith("cuda") and (number in ("cuda", "") or (number.isdigit() and int(number) < count)):
        return Choice("cuda:0" if number in ("cuda", "") else wanted, "as set")
    have = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
    raise UserError(
        f"There is no device {wanted!r} here.", where="environment.gpus", fix=f"Take auto, or one of: {have}."
    )


def choose_dtype(wanted: str, *, device: str, needed: Needs | None = None, all_weights: bool = False) -> Choice:
    """ "auto" as a number type: 16 bits where the device computes them well, quantised only when it must be.

    needed: what the backbone and its training take; None when it is not known. all_weights: the weights themselves are
    trained, not an adapter.
    """
    sixteen = "bfloat16" if device == "cpu" or torch.cuda.is_bf16_supported() else "float16"
    free = free_bytes(device) if wanted == "auto" and not all_weights else 0.0
    return number_type(wanted, device=device, needed=needed, free_bytes=free, sixteen=sixteen, all_weights=all_weights)


def number_type(
    wanted: str, *, device: str, needed: Needs | None, free_bytes: float, sixteen: str = "bfloat16", all_weights: bool
) -> Choice:
    """The choice from numbers alone. sixteen: the 16-bit type that the device computes."""
    kind = kind_of(device)
    if all_weights and wanted in ("auto", "float16"):
        return Choice("float32", "the weights themselves are trained, and 16 bits would round small steps away")
    if wanted == "float16" and kind == "cpu":
        return Choice("bfloat16", "a CPU computes float16 very slowly, and this takes the same memory")
    if wanted != "auto":
        return Choice(wanted, "as set")
    order = tuple(sixteen if dtype == "bfloat16" else dtype for dtype in ORDER[kind])
    if needed is None:
        return Choice(order[0], "the size of the backbone is not known")
    fit = fitting(needed, free_bytes=free_bytes * USABLE[kind], order=order)
    return Choice(fit.dtype, fit_words(fit, needed, device=device, free_bytes=free_bytes, first=order[0]))


def fit_words(fit: Fit, needed: Needs, *, device: str, free_bytes: float, first: str) -> str:
    """Why this number type, with the numbers. first: the one that would have been taken if it fitted."""
    where = "in this machine" if device == "cpu" else f"on {device}"
    rows = "1 row" if fit.rows == 1 else f"{fit.rows} rows"
    parts = [f"its weights take {gigabytes(needed.weights_bytes(fit.dtype))}"]
    if needed.state_bytes:
        parts.append(f"gradients and optimiser {gigabytes(needed.state_bytes)}")
    if needed.row_bytes:
        parts.append(f"activations of {rows} at a time about {gigabytes(fit.rows * needed.row_bytes)}")
    said = f"{', '.join(parts)}; {gigabytes(free_bytes)} are free {where}"
    if fit.rows < needed.batch_size and fit.fits:
        said += f", where a batch of {needed.batch_size} rows has to be computed in parts, with the same result"
    if fit.dtype != first:
        said += f" and {first} would take {gigabytes(needed.total_bytes(first, 1))} with one row at a time"
    return said if fit.fits else f"{said}, which may not be enough, but it is the smallest number type there is"


def gigabytes(value: float) -> str:
    """ "14.9 GB", "700 MB"."""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def free_bytes(device: str) -> float:
    """Memory that is free now: of the GPU, with what torch holds of it in reserve, or of this machine within what its
    container may use."""
    if device != "cpu":
        gpu = torch.device(device)
        reserve = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
        return float(torch.cuda.mem_get_info(gpu)[0] + reserve)
    return min(float(psutil.virtual_memory().available), container_bytes(CGROUP))


def container_bytes(folder: Path) -> float:
    """What a container may still use (control groups, version 2); infinite where nothing limits it."""
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return float("inf") if limit == "max" else max(0.0, float(limit) - float(used) + file_cache_bytes(folder))
    except (OSError, ValueError):
        return float("inf")


def file_cache_bytes(folder: Path) -> float:
    """Of the memory in use, what only keeps files that can be read again."""
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return float(value)
    return 0.0


def choose_autocast(*, device: str, environment: Environment, dtype: str) -> tuple[torch.dtype | None, str]:
    """The 16-bit type for computing, None for none, with the reason. dtype: in which the backbone is held."""
    if not environment.mixed_precision:
        return None, "mixed precision is off"
    if device == "cpu":
        if cpu_computes_bfloat16():
            return torch.bfloat16, "this processor computes bfloat16 in hardware"
        return None, "this processor has no bfloat16 arithmetic"
    if "float16" in (dtype, environment.mixed_precision_dtype):
        return torch.float16, "as set"
    if not torch.cuda.is_bf16_supported():
        return torch.float16, f"{device} has no bfloat16 arithmetic"
    return torch.bfloat16, f"{device} computes bfloat16"


def cpu_computes_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in checks if hasattr(torch.cpu, name))


def set_threads() -> Choice:
    """Give torch the cores this process may use; OMP_NUM_THREADS overrules."""
    if os.environ.get("OMP_NUM_THREADS"):
        return Choice(str(torch.get_num_threads()), "OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or cores
    chosen = max(1, min(cores, physical if physical >= cores // 2 else cores))
    torch.set_num_threads(chosen)
    return Choice(str(chosen), "the cores that this process may use")


def memory_bytes(device: str) -> int:
    """Memory in use: the peak allocated on a GPU, the resident set on a CPU."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(torch.device(device)))
    return int(psutil.Process().memory_info().rss)
