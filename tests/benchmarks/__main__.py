"""Runs the benchmarks named on the command line (all by default), prints tables and writes results/benchmarks.json."""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.benchmarks import browsing, health, near_duplicates, pages, reading, starter, tokenising

BENCHMARKS: dict[str, Callable[[], dict[str, object]]] = {
    "starter": starter.run,
    "start": pages.run_start,
    "clicks": pages.run_clicks,
    "reading": reading.run,
    "rows": browsing.run,
    "tokenising": tokenising.run,
    "near_duplicates": near_duplicates.run,
    "health": health.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    machine = f"{psutil.cpu_count()} processors, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}"
    print(f"{time.strftime('%Y-%m-%d')}, {machine}, load {psutil.getloadavg()[0]:.1f}")
    results: dict[str, object] = {"date": time.strftime("%Y-%m-%d"), "machine": machine}
    for name in names:
        print(f"\n## {name}", flush=True)
        results[name] = BENCHMARKS[name]()
    path = Path("results/benchmarks.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2))
    print(f"\nWritten to {path}")


main()
