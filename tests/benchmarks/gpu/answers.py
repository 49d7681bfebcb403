"""How fast answers are drawn when waiting rows take the places of ended ones, against batches that begin together."""

import statistics
from typing import Any

import numpy as np

from tests.benchmarks.gpu.device import now, peak_bytes, tidy
from tests.benchmarks.gpu.rows import make_rows
from tests.benchmarks.gpu.shapes import TINY, Shape, make_model
from tests.benchmarks.rates import as_dict, ratios

ROWS, AT_ONCE = 512, 128
TINY_ROWS, TINY_AT_ONCE = 24, 8
SHORTEST = 0.1
"""Answers end after a share of the longest one, drawn evenly from this one up, which nobody knows beforehand."""


def measure(shape: Shape, device: str, turns: int) -> dict[str, Any]:
    """Tokens of answers per second of both, in turns; the answers must be as long as was drawn."""
    from llm_studio.config.prediction import Prediction
    from llm_studio.modeling import decoding
    from llm_studio.modeling.answering import Asked
    from llm_studio.modeling.decoding import Ending, decode

    rows, at_once = (TINY_ROWS, TINY_AT_ONCE) if shape is TINY else (ROWS, AT_ONCE)
    longest = shape.longest // 8
    drawn = np.random.default_rng(0)
    prompts = [row.input_ids[: shape.longest // 4] for row in make_rows(rows, longest=shape.longest, vocabulary=500)]
    limits = [int(longest * drawn.uniform(SHORTEST, 1)) for _ in prompts]
    asked = [
        Asked(number, prompts[number], 0, limits[number])
        for number in sorted(range(rows), key=lambda row: -len(prompts[row]))
    ]
    model = make_model(shape, device, "bfloat16").eval()
    found: dict[str, list[float]] = {"joining": [], "batches": []}
    tidy(device)
    for _ in range(turns):
        for name, devices in (("joining", {"cpu", "cuda"}), ("batches", set[str]())):
            decoding.JOIN_ON = devices
            answers: dict[int, list[int]] = {}
            began = now(device)
            decode(
                model, asked, Prediction(max_length_inference=longest), Ending((), None, 0),
                at_once=lambda width: at_once, answered=answers.__setitem__,
            )  # fmt: skip
            found[name].append(sum(limits) / (now(device) - began))
            if [len(answers[row]) for row in range(rows)] != limits:
                raise RuntimeError(f"{name}: the answers are not as long as they should be")
    peak = peak_bytes(device)
    decoding.JOIN_ON = {"cuda"}
    return found | {"rows": rows, "at once": at_once, "ratio": as_dict(ratios(*found.values())), "peak_bytes": peak}


def words(figures: dict[str, Any]) -> str:
    """One line."""
    ratio, rates = figures["ratio"], [statistics.median(figures[name]) for name in ("joining", "batches")]
    return (
        f"answers, {figures['rows']} rows, {figures['at once']} at once: {rates[0]:,.0f} tokens/s with rows that join, "
        f"{rates[1]:,.0f} in batches: {ratio['median']:.2f} times ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"
    )
