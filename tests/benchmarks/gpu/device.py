"""What is read off the device: the clock, the largest memory, and how fast it multiplies matrices."""

import gc
import time

import torch

SIDES = {"cuda": 8192, "cpu": 512}
PRODUCTS = 20


def now(device: str) -> float:
    """Seconds, once the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def tidy(device: str) -> None:
    """Free what the last contestant has left, and forget its largest memory."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: str) -> int | None:
    """The most memory in use since `tidy`; None on a CPU."""
    return int(torch.cuda.max_memory_allocated()) if device.startswith("cuda") else None


def name_of(device: str) -> str:
    """The device, in words."""
    return str(torch.cuda.get_device_name()) if device.startswith("cuda") else "CPU"


def matmul_rate(device: str) -> float:
    """Operations per second of a product of two large square matrices of random bfloat16 numbers."""
    side = SIDES["cuda" if device.startswith("cuda") else "cpu"]
    one, two = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    for _ in range(3):
        one @ two
    began = now(device)
    for _ in range(PRODUCTS):
        one @ two
    return PRODUCTS * 2 * side**3 / (now(device) - began)
