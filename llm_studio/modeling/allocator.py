"""How torch divides a GPU's memory; to be set before torch is imported, so it imports nothing heavy.

Micro-batches of packed rows differ in length. With segments of fixed size the pieces left between them add up until a
step finds no room in memory that is free; segments that can grow avoid it (PyTorch documentation, CUDA semantics).
"""

import os
import sys

VARIABLE = "PYTORCH_ALLOC_CONF"
SETTING = "expandable_segments:True"
OVERRULED_BY = (VARIABLE, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def let_segments_grow() -> None:
    """On Linux, unless the environment says otherwise."""
    if sys.platform == "linux" and not any(os.environ.get(name) for name in OVERRULED_BY):
        os.environ[VARIABLE] = SETTING


def memory_words() -> str:
    """What is in force, as a sentence for the log of an experiment on a GPU."""
    for name in OVERRULED_BY:
        if value := os.environ.get(name):
            why = "micro-batches differ in length" if value == SETTING else "the environment says so"
            return f"GPU memory is divided with {value}, since {why}."
    return "GPU memory is divided in segments of fixed size."
