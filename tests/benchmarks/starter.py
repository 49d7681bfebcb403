"""Tunes the starter backbone on each sample with preset Balanced, by the command line: before against after."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llm_studio.starter import SAMPLES

BAR_SECONDS = 180


def command(home: Path, *arguments: str) -> str:
    """Standard output of one `llm-studio` command that must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "llm_studio.cli", *arguments],
        env={**os.environ, "LLM_STUDIO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"llm-studio {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def tune(home: Path, sample: str) -> dict[str, object]:
    """Import and tune one sample; scores are those of the held-out rows."""
    command(home, "dataset", "import", f"starter:{sample}", "--name", sample)
    config = home / f"{sample}.yaml"
    config.write_text(f"experiment_name: {sample}\nllm_backbone: starter\ndataset_id: {sample}\npreset: balanced\n")
    began = time.monotonic()
    command(home, "train", str(config))
    seconds = time.monotonic() - began
    record = json.loads(command(home, "experiment", "show", sample, "--json"))
    return {"seconds": round(seconds, 1), "before": record["scores"]["before"], "after": record["scores"]["last"]}


def run() -> dict[str, object]:
    """One line a sample; the first carries the bar of 180 s, BLEU 10 -> 60, half exact, half the perplexity."""
    results: dict[str, object] = {}
    print(f"{'sample':<28}{'seconds':>8}{'BLEU':>16}{'exact match':>18}{'perplexity':>20}")
    with tempfile.TemporaryDirectory() as folder:
        for sample in SAMPLES:
            result = tune(Path(folder), sample.name)
            before, after = result["before"], result["after"]
            assert isinstance(before, dict) and isinstance(after, dict)
            bleu = f"{before['bleu']:.1f} -> {after['bleu']:.1f}"
            exact = f"{before['exact_match']:.2f} -> {after['exact_match']:.2f}"
            perplexity = f"{before['perplexity']:.2f} -> {after['perplexity']:.2f}"
            print(f"{sample.name:<28}{result['seconds']:>8}{bleu:>16}{exact:>18}{perplexity:>20}", flush=True)
            results[sample.name] = result
    return results
