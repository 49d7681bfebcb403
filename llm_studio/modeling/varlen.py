"""Packed attention on a GPU: all rows in one call of torch's own kernel for rows of different length.

The kernel is `torch.nn.attention.varlen.varlen_attn` (FlashAttention inside torch, nothing to build). It differs by
version: from torch 2.11 it takes `window_size` and `scale`, from 2.12 also `enable_gqa`; before, keys and values are
repeated. What it cannot do goes through one attention per row, as on a CPU. Not yet measured: no GPU was at hand.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

WIDEST = 256
DTYPES = (torch.bfloat16, torch.float16)
OLDEST = (8, 0)
"""Compute capability (Ampere) from which FlashAttention runs."""
CLOSE = 3e-2
"""Largest difference to one attention per row, relative to the largest value, of output and gradients in 16 bits."""
TRIED_LENGTHS = (37, 5, 130)


@dataclass(frozen=True)
class Kernel:
    """A function with varlen_attn's arguments; takes_gqa: fewer key than query heads as they are."""

    function: Callable[..., Any]
    takes_gqa: bool


def kernel_of(function: Callable[..., Any]) -> Kernel | None:
    """What this version of the function can do; None when it lacks windows or the scale (torch 2.10)."""
    names = inspect.signature(function).parameters
    if not {"window_size", "scale"} <= set(names):
        return None
    return Kernel(function, "enable_gqa" in names)


def find_kernel() -> Kernel | None:
    """That of the installed torch, if any."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return kernel_of(varlen_attn)


def attend(
    kernel: Kernel,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    bounds: torch.Tensor,
    longest: int,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Causal attention within each row. query: [1, heads, T, width]; key, value: [1, key heads, T, width]; bounds:
    [rows + 1]; longest: tokens of the longest row; window: tokens that a query sees, itself included.

    Gives [1, T, heads, width].
    """
    rows = [part[0].transpose(0, 1) for part in (query, key, value)]  # [T, heads, width]
    heads, key_heads = rows[0].shape[1], rows[1].shape[1]
    named: dict[str, Any] = {"scale": scaling, "window_size": (-1 if window is None else window - 1, 0)}
    if kernel.takes_gqa:
        named["enable_gqa"] = heads != key_heads
    elif heads != key_heads:
        rows[1:] = [part.repeat_interleave(heads // key_heads, 1) for part in rows[1:]]
    bounds = bounds.to(torch.int32)
    found: torch.Tensor = kernel.function(*rows, bounds, bounds, longest, longest, **named)
    return found[None]


def refused(query: torch.Tensor, value: torch.Tensor, dropout: float) -> str | None:
    """Why the kernel cannot take this attention; None when it can. query, value: [1, heads, T, width]."""
    width = query.shape[-1]
    if dropout:
        return "the kernel has no dropout"
    if width > WIDEST or width % 8 or value.shape[-1] != width:
        return f"heads of width {width} (values {value.shape[-1]}): the kernel takes multiples of 8 up to {WIDEST}"
    return None


def refused_device(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why the kernel cannot run here; None when it can. dtype: what attention computes in."""
    if device.type != "cuda":
        return "the kernel needs a GPU"
    if dtype not in DTYPES:
        return f"the kernel computes in 16 bits, not in {str(dtype).removeprefix('torch.')}"
    if torch.version.hip is not None:
        return "the kernel is not tried on AMD devices"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"the kernel needs compute capability {OLDEST[0]}.{OLDEST[1]}, this device has {capability[0]}"
    return None


Plain = Callable[..., tuple[torch.Tensor, None]]


def difference(
    kernel: Kernel,
    plain: Plain,
    *,
    heads: int,
    key_heads: int,
    width: int,
    window: int | None,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Largest difference between the kernel and `plain`, one attention per row, on random rows: of the output and of
    the gradients of query, key and value, each relative to its largest value.

    Raises:
        RuntimeError: and others, as the kernel does when it cannot run.
    """
    drawn = torch.Generator().manual_seed(0)
    shapes = [(1, count, sum(TRIED_LENGTHS), width) for count in (heads, key_heads, key_heads)]
    values = [torch.randn(shape, generator=drawn).to(device, dtype) for shape in shapes]
    bounds = torch.tensor([0, *TRIED_LENGTHS]).cumsum(0).to(device, torch.int32)
    longest = max(TRIED_LENGTHS)

    def results(attention: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        parts = [value.clone().requires_grad_() for value in values]
        with torch.enable_grad():
            made = attention(*parts)
            made.float().square().sum().backward()
        return [made.detach(), *(part.grad for part in parts)]

    ours = results(lambda *parts: attend(kernel, *parts, bounds=bounds, longest=longest, scaling=None, window=window))
    theirs = results(
        lambda *parts: plain(torch.nn.Identity(), *parts, None, sliding_window=window, cu_seq_lens_q=bounds)[0]
    )
    pairs = zip(ours, theirs, strict=True)
    return max(float((one.float() - two.float()).abs().max() / two.float().abs().max()) for one, two in pairs)
