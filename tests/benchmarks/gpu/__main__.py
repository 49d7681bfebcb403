"""Compares training, and ways to draw answers, on a GPU: `python -m tests.benchmarks.gpu`, or `make bench-gpu`.

Needs torch, transformers, peft, accelerate and the light packages of `NEEDED`; trl with datasets, liger-kernel and
bitsandbytes join where they are installed. The contestants take turns; the table gives medians and ranges.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NEEDED = ("torch", "transformers", "peft", "accelerate", "pydantic", "yaml", "psutil", "pyarrow", "xxhash", "ftfy")
SHOWN = ("torch", "transformers", "peft", "trl", "liger-kernel", "bitsandbytes")
OURS = "ours, bfloat16"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when it measured, 2 when something it needs is not here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny backbone: tries the code, measures nothing")
    parser.add_argument("--steps", type=int, default=20, help="measured steps of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--only", nargs="*", default=(), help="contestants whose name contains one of these")
    parser.add_argument("--json", type=Path, default=Path("results/bench-gpu.json"))
    chosen = parser.parse_args(arguments)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"Not measured: these packages are not installed: {', '.join(missing)}.")
        return 2
    from llm_studio.modeling.allocator import let_segments_grow
    from llm_studio.modeling.threads import share_cores

    let_segments_grow()
    share_cores()
    import torch

    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print("Not measured: there is no CUDA device here. To try the code: --tiny --device cpu.")
        return 2
    return measure(chosen)


def measure(chosen: Any) -> int:
    """All rounds, the table, the JSON."""
    from tests.benchmarks.gpu import answers
    from tests.benchmarks.gpu.device import matmul_rate, name_of, tidy
    from tests.benchmarks.gpu.shapes import LLAMA_3_8B, TINY

    quiet()
    shape = TINY if chosen.tiny else LLAMA_3_8B
    rate = matmul_rate(chosen.device)
    about = {
        "device": name_of(chosen.device),
        "backbone": f"{shape.name} with random weights",
        "longest sequence": shape.longest,
        "steps": chosen.steps,
        "matmul TFLOP/s": rate / 1e12,
        "packages": {name: installed(name) for name in SHOWN},
    }
    for name, value in about.items():
        print(f"{name}: {value}")
    results = []
    for turn in range(chosen.rounds):
        for name, train in contestants(chosen).items():
            result = {"name": name, "round": turn} | one_turn(shape, chosen, train, rate)
            print(json.dumps(result), flush=True)
            results.append(result)
    print("\n".join(table(results)))
    ratios = against(results)
    tidy(chosen.device)
    drawn = answers.measure(shape, chosen.device, chosen.rounds)
    print(answers.words(drawn))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(
        json.dumps(about | {"results": results, "ratios": ratios, "answers": drawn}, indent=1), encoding="utf-8"
    )
    return 0


def contestants(chosen: Any) -> dict[str, Any]:
    """Those whose packages are here, by name."""
    from tests.benchmarks.gpu.contestants import ours, trl

    found = {OURS: ours("bfloat16")}
    if find_spec("liger_kernel") is not None:
        found["ours, bfloat16, without Liger"] = ours("bfloat16", **{"training.kernels": "never"})
    if find_spec("trl") is not None and find_spec("datasets") is not None:
        batch = 2 if chosen.tiny else 8
        found["TRL, padded rows"] = trl(packing=False, batch=batch, checkpointing=False)
        found["TRL, padded rows, checkpointing (its default)"] = trl(packing=False, batch=batch, checkpointing=True)
        found["TRL, packed (rows may see each other)"] = trl(packing=True, batch=1, checkpointing=False)
    if find_spec("bitsandbytes") is not None:
        found |= {f"ours, {dtype}": ours(dtype) for dtype in ("int8", "int4")}
    return {name: one for name, one in found.items() if not chosen.only or any(part in name for part in chosen.only)}


def one_turn(shape: Any, chosen: Any, train: Any, rate: float) -> dict[str, Any]:
    """Figures of one turn of one contestant, or why it failed."""
    from tests.benchmarks.gpu.contestants import WARM_STEPS
    from tests.benchmarks.gpu.device import peak_bytes, tidy
    from tests.benchmarks.gpu.rows import make_rows

    # So many that packs of the longest sequence suffice, however short their rows are.
    count = (WARM_STEPS + chosen.steps + 1) * 16
    rows = make_rows(count, longest=shape.longest, vocabulary=shape.vocabulary)
    tidy(chosen.device)
    try:
        done = train(shape, chosen.device, rows, chosen.steps)
    except Exception as error:
        return {"failed": (str(error).splitlines() or [type(error).__name__])[0][:300]}
    tokens = sum(done.lengths)
    return {
        "tokens_per_second": tokens / done.seconds,
        "learned_per_second": done.learned / done.seconds,
        "share_of_matmul_rate": shape.operations(done.lengths, done.learned) / done.seconds / rate,
        "tokens_per_step": tokens / chosen.steps,
        "peak_bytes": peak_bytes(chosen.device),
        "notes": done.notes,
    }


def table(results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each contestant: medians, with the range of tokens per second."""
    lines = ["", f"{'':46} {'tokens/s':>9} {'range':>15} {'learned/s':>9} {'of matmul':>9} {'peak GB':>8}"]
    for name in dict.fromkeys(str(result["name"]) for result in results):
        turns = [result for result in results if result["name"] == name]
        if failed := next((turn["failed"] for turn in turns if "failed" in turn), None):
            lines.append(f"{name:46} failed: {failed[:80]}")
            continue
        rates = [turn["tokens_per_second"] for turn in turns]
        learned = statistics.median(turn["learned_per_second"] for turn in turns)
        share = statistics.median(turn["share_of_matmul_rate"] for turn in turns)
        peaks = [turn["peak_bytes"] for turn in turns if turn["peak_bytes"]]
        peak = f"{max(peaks) / 1e9:.1f}" if peaks else "-"
        span = f"{min(rates):,.0f}-{max(rates):,.0f}"
        middle = statistics.median(rates)
        lines.append(f"{name:46} {middle:>9,.0f} {span:>15} {learned:>9,.0f} {share:>9.1%} {peak:>8}")
    for name, ratios in against(results).items():
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        lines.append(f"{OURS} against {name}: {statistics.median(ratios):.2f} times the tokens per second ({span})")
    return lines


def against(results: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """How many times as many tokens per second ours trains as each other contestant, round by round."""
    own = {result["round"]: result.get("tokens_per_second") for result in results if result["name"] == OURS}
    found: dict[str, list[float]] = {}
    for result in results:
        theirs, mine = result.get("tokens_per_second"), own.get(result["round"])
        if result["name"] != OURS and theirs and mine:
            found.setdefault(str(result["name"]), []).append(mine / theirs)
    return found


def installed(package: str) -> str | None:
    """Its version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def quiet() -> None:
    """As in an experiment."""
    from llm_studio.modeling.loading import quiet as quieten

    quieten()


if __name__ == "__main__":
    sys.exit(main())
