"""Chooses device, number type and thread count, and says why."""

import os
from dataclasses import dataclass

import psutil
import torch

from llm_studio.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "int4": 0.6}
ROOM = 0.6
"""Share of the free memory that weights may take, so that activations and optimiser state fit beside them."""


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


def choose_dtype(wanted: str, *, device: str, parameters: int, all_weights: bool = False) -> Choice:
    """ "auto" as a number type: 16 bits where the device computes them well, quantised only when it must be.

    parameters: of the backbone, 0 when not known. all_weights: the weights themselves are trained, not an adapter.
    """
    if all_weights and wanted in ("auto", "float16"):
        return Choice("float32", "the weights themselves are trained, and 16 bits would round small steps away")
    if wanted == "float16" and device == "cpu":
        return Choice("bfloat16", "a CPU computes float16 very slowly, and this takes the same memory")
    if wanted != "auto":
        return Choice(wanted, "as set")
    if device == "cpu":
        free = psutil.virtual_memory().available
        if parameters * BYTES["float32"] <= free * ROOM / 2:
            return Choice("float32", "it fits, and a CPU computes it most exactly")
        return Choice("bfloat16", f"in float32 it would fill more than a third of {free / 1e9:.0f} GB")
    free = torch.cuda.mem_get_info(torch.device(device))[0]
    sixteen = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    for dtype in (sixteen, "int8", "int4"):
        if parameters * BYTES[dtype] <= free * ROOM:
            why = "16 bits fit" if dtype == sixteen else "the first that fits"
            return Choice(dtype, f"{why} in the {free / 1e9:.0f} GB that are free on {device}")
    return Choice("int4", f"the smallest; {free / 1e9:.0f} GB are free on {device}, which may not be enough")


def choose_autocast(*, device: str, mixed_precision: bool, dtype: str) -> tuple[torch.dtype | None, str]:
    """The 16-bit type for computing, None for none, with the reason."""
    if not mixed_precision:
        return None, "mixed precision is off"
    if device == "cpu":
        if cpu_computes_bfloat16():
            return torch.bfloat16, "this processor computes bfloat16 in hardware"
        return None, "this processor has no bfloat16 arithmetic"
    if dtype == "float16" or not torch.cuda.is_bf16_supported():
        return torch.float16, "as set" if dtype == "float16" else f"{device} has no bfloat16 arithmetic"
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
