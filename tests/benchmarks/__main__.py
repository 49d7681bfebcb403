"""Runs the benchmarks named on the command line (all by default), prints tables and writes results/benchmarks.json."""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.benchmarks import (
    browsing,
    chart_writing,
    evaluation,
    forecast,
    health,
    near_duplicates,
    pages,
    reading,
    start_to_step,
    starter,
    tokenising,
    training,
)

BENCHMARKS: dict[str, Callable[[], dict[str, object]]] = {
    "starter": starter.run,
    "start": pages.run_start,
    "clicks": pages.run_clicks,
    "reading": reading.run,
    "rows": browsing.run,
    "tokenising": tokenising.run,
    "near_duplicates": near_duplicates.run,
    "health": health.run,
    "training": training.run,
    "evaluation": evaluation.run,
    "start_to_step": start_to_step.run,
    "chart_writing": chart_writing.run,
    "forecast": forecast.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    machine = f"{psutil.cpu_count()} processors, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}"
    path = Path("results/benchmarks.json")
    path.parent.mkdir(exist_ok=True)
    results: dict[str, object] = {"date": time.strftime("%Y-%m-%d"), "machine": machine}
    if len(names) > 1:  # each in a process of its own: a measured process begins with the peak memory of its parent
        for name in names:
            subprocess.run([sys.executable, "-m", "tests.benchmarks", name], check=True)
            results |= json.loads(path.read_text())
    else:
        print(f"\n{time.strftime('%Y-%m-%d')}, {machine}, load {psutil.getloadavg()[0]:.1f}\n## {names[0]}", flush=True)
        results[names[0]] = BENCHMARKS[names[0]]()
    path.write_text(json.dumps(results, indent=2))
    print(f"Written to {path}")


main()
