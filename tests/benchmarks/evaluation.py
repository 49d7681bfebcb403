"""How fast an evaluation answers its rows, against transformers' `generate` in the order of the rows, two at a time."""

import json
import random
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.models import BACKBONES, SKIPPED, gsm8k
from tests.benchmarks.rates import as_dict, ratios, spread

TURNS = 3
ROWS = {"starter": 96, "90m": 24}
LONGEST = {"starter": 192, "90m": 64}
"""Answers end where the right ones do, at this many tokens at the latest, in both contestants: random weights would
never end one."""
BARS = {"starter": 6.0, "90m": 2.5}
JOINING = {"starter": (128, 32), "90m": (24, 8)}
"""Rows, and how many at once, where waiting rows take the places of ended ones, against batches that begin together.
Answers end after the lengths of the right ones, handed out anew, since nobody knows beforehand which will be long."""
THREADS = 2


def run() -> dict[str, object]:
    """Tokens of the answers per second, in turns; both must give the same answers."""
    if not gsm8k():
        print(SKIPPED)
        return {"skipped": SKIPPED}
    found: dict[str, object] = {}
    for name in ROWS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.evaluation", name], check=True, capture_output=True, text=True
        )
        figures = json.loads(done.stdout.splitlines()[-1])
        ratio = ratios(figures["ours"], figures["transformers"])
        print(
            f"{name:8} {figures['rows']} rows, {figures['tokens']:,} tokens: ours {spread(figures['ours'])} tokens/s, "
            f"transformers {spread(figures['transformers'])}; ratio {ratio}, bar {BARS[name]}; "
            f"the same answers: {figures['same']} of {figures['rows']}",
            flush=True,
        )
        joined = ratios(figures["joining"], figures["batches"])
        rows, at_once = JOINING[name]
        print(
            f"{name:8} {rows} rows, {at_once} at once: {spread(figures['joining'])} tokens/s with rows that join, "
            f"{spread(figures['batches'])} in batches; ratio {joined}",
            flush=True,
        )
        found[name] = figures | {"ratio": as_dict(ratio), "bar": BARS[name], "joining ratio": as_dict(joined)}
    return found


def measure(name: str) -> dict[str, Any]:
    """Both contestants on one backbone with an untrained adapter, in float32."""
    import torch

    from llm_studio.config import make_config
    from llm_studio.data.types import Message
    from llm_studio.modeling.adapters import make_trainable
    from llm_studio.modeling.generation import generate
    from llm_studio.modeling.loading import load_model, load_tokenizer, quiet
    from llm_studio.tokens.making import make_template

    quiet()
    torch.set_num_threads(THREADS)
    folder = BACKBONES[name]()
    config = make_config(
        {
            "llm_backbone": str(folder),
            "architecture.backbone_dtype": "float32",
            "prediction.max_length_inference": LONGEST[name],
        }
    )
    template = make_template(load_tokenizer(config), config)
    model, _ = load_model(config, device="cpu", trains=True)
    model = make_trainable(model, config, quantised=False).model.eval()
    rows = gsm8k()[: ROWS[name]]
    prompts = [list(template.prompt_ids([Message("user", question)])) for question, _ in rows]
    right = [len(template.tokenizer(answer)["input_ids"]) for _, answer in rows]
    limits = [min(LONGEST[name], tokens) for tokens in right]

    def ours() -> list[str]:
        return generate(model, template, prompts, config, expected_tokens=right, limits=limits)

    def theirs() -> list[str]:
        return by_transformers(model, template, prompts, limits)

    figures: dict[str, Any] = {"rows": len(rows), "tokens": sum(limits), "ours": [], "transformers": []}
    for _ in range(TURNS):
        answers = []
        for contestant, function in (("ours", ours), ("transformers", theirs)):
            began = time.perf_counter()
            answers.append(function())
            figures[contestant].append(sum(limits) / (time.perf_counter() - began))
        figures["same"] = sum(one == other for one, other in zip(*answers, strict=True))
    return figures | joining(model, template, config, *JOINING[name])


def joining(model: Any, template: Any, config: Any, rows: int, at_once: int) -> dict[str, list[float]]:
    """Tokens per second of our own two ways to fill places, in turns."""
    from llm_studio.data.types import Message
    from llm_studio.modeling import decoding
    from llm_studio.modeling.generation import generate

    asked = gsm8k()[:rows]
    prompts = [list(template.prompt_ids([Message("user", question)])) for question, _ in asked]
    right = [len(template.tokenizer(answer)["input_ids"]) for _, answer in asked]
    limits = [min(config.prediction.max_length_inference, tokens) for tokens in right]
    random.Random(0).shuffle(limits)
    found: dict[str, list[float]] = {"joining": [], "batches": []}
    for _ in range(TURNS):
        for name, devices in (("joining", {"cpu"}), ("batches", set[str]())):
            decoding.JOIN_ON = devices
            few = config.with_changes({"prediction.batch_size_inference": at_once})
            began = time.perf_counter()
            generate(model, template, prompts, few, expected_tokens=right, limits=limits)
            found[name].append(sum(limits) / (time.perf_counter() - began))
    return found


def by_transformers(model: Any, template: Any, prompts: list[list[int]], limits: list[int]) -> list[str]:
    """Two rows at a time, in their order; each ends at its limit."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Limits(StoppingCriteria):
        def __init__(self, most: list[int], width: int) -> None:
            self._most, self._width = torch.tensor(most), width

        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            return self._most <= input_ids.shape[1] - self._width

    answers = []
    for first in range(0, len(prompts), 2):
        asked, most = prompts[first : first + 2], limits[first : first + 2]
        width = max(map(len, asked))
        ids = torch.tensor([[template.pad_id] * (width - len(prompt)) + prompt for prompt in asked])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in asked])
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(most),
                do_sample=False,
                eos_token_id=list(template.stop_ids),
                pad_token_id=template.pad_id,
                stopping_criteria=StoppingCriteriaList([Limits(most, width)]),
            )
        for row, tokens in zip(made[:, width:].tolist(), most, strict=True):
            answers.append(template.tokenizer.decode(row[:tokens], skip_special_tokens=True).strip())
    return answers


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
