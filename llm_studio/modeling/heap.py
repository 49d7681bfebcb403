"""What a CPU's memory holds beside tensors: kernels kept for shapes seen before, and freed pieces the heap keeps.

Batches of text have many lengths. oneDNN keeps up to 1,024 prepared kernels, one for each shape, and between tensors of
many sizes the heap is left with holes. Measured on the starter, 32 rows a step and six evaluations: 1.64 GB at the peak
and growing; 1.10 GB with both cures of this module, at 1 % more time.
"""

import ctypes
import os
import sys
import time

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
KERNELS = "64"
EVERY_SECONDS = 30.0
"""Between two times that a training gives back what it does not hold; it takes some 20 ms for a gigabyte."""


def keep_few_kernels() -> None:
    """To be called before torch is imported; the environment overrules it."""
    os.environ.setdefault(VARIABLE, KERNELS)


def give_back() -> bool:
    """Free memory goes back to the system; False where the system's library cannot do it (it is glibc's)."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


class NowAndThen:
    """Gives back at most every `EVERY_SECONDS`."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def give_back(self) -> None:
        """Unless it was done a short while ago."""
        if time.monotonic() - self._at >= EVERY_SECONDS:
            give_back()
            self._at = time.monotonic()
