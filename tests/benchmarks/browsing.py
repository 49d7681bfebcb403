"""A page of rows, of search hits and of a sorted table, in a data set of a million rows."""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from llm_studio.actions import browsing
from llm_studio.data import browse, open_dataset
from llm_studio.store import Home, Store

ROWS = 1_000_000
TIMES = 3
PAGES = 40
LIMIT = 50


def write_rows(path: Path, count: int) -> None:
    """JSON Lines of about 1,000 characters a row; "needle" stands in every thousandth, a number in `input`."""
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    pool = [" ".join(rng.choices(words, k=70)) for _ in range(5_000)]
    with path.open("w", encoding="utf-8") as file:
        for row in range(count):
            needle = "needle " if row % 1000 == 0 else ""
            item = {
                "instruction": f"{needle}{rng.choice(pool)} {row}",
                "input": str(rng.randrange(10**6)),
                "output": f"{rng.choice(pool)} {rng.choice(words)}",
            }
            file.write(json.dumps(item) + "\n")


OURS = """
import sys
from contextlib import closing
from pathlib import Path
from llm_studio.actions.imports import import_dataset
from llm_studio.data import open_dataset
from llm_studio.data.statistics import duplicate_rows
from llm_studio.store import Home, Store
home = Home(Path(sys.argv[2]))
home.create()
with closing(Store.open(home)) as store:
    record = import_dataset(store, {"kind": "local", "path": sys.argv[1]})
    dataset = open_dataset(home.dataset(record.id))
    dataset.column_facts(), duplicate_rows(dataset)
"""
"""Reads, checks every row, splits, counts missing, empty and repeated values: an import without tokens and health."""
PANDAS = """
import sys
import pandas as pd
pd.read_json(sys.argv[1], lines=True).to_parquet(sys.argv[2] + ".parquet")
"""


def run(rows: int = ROWS) -> dict[str, object]:
    """Imports the rows, in turn with pandas; then asks for pages as the data set's page does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB of JSON Lines, each {TIMES} times in turn")
        seen: dict[str, list[tuple[float, float]]] = {"import and statistics": [], "pandas to Parquet": []}
        for turn in range(TIMES):
            for name, code in (("import and statistics", OURS), ("pandas to Parquet", PANDAS)):
                command = [sys.executable, "-c", code, str(path), str(Path(folder) / f"home{turn}")]
                seen[name].append(timed(command))
        result: dict[str, object] = {"rows": rows}
        for name, values in seen.items():
            seconds, memory = statistics.median(one for one, _ in values), max(one for _, one in values)
            result[name] = {"seconds": [one for one, _ in values], "median_seconds": seconds, "peak_gb": memory}
            each = ", ".join(f"{one:.1f}" for one, _ in values)
            print(
                f"{name}: median {seconds:.1f} s ({each}), {rows / seconds:,.0f} rows/s, peak {memory:.2f} GB",
                flush=True,
            )
        medians = [statistics.median(one for one, _ in values) for values in seen.values()]
        result["ratio"] = medians[1] / medians[0]
        print(f"ratio {medians[1] / medians[0]:.1f}", flush=True)
        with closing(Store.open(Home(Path(folder) / "home0"))) as store:
            return result | pages(store)


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident memory in GB of a command; the system counts, nothing looks on meanwhile."""
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the measured process ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1e6


def pages(store: Store) -> dict[str, object]:
    """Times in milliseconds of the pages of the one data set."""
    dataset_id = store.datasets.list()[0].id
    folder = store.home.dataset(dataset_id)
    rng = random.Random(1)
    rows = open_dataset(folder).row_count

    def page(offset: int, search: str = "", order: str = "", descending: bool = False) -> None:
        dataset = open_dataset(folder)
        found = browsing.browse(
            store, dataset, search=search, order=order, descending=descending, offset=offset, limit=LIMIT
        )
        assert len(list(dataset.table.take(found.rows))) == LIMIT or search == "needle"

    result: dict[str, object] = {}

    def measure(name: str, deed: Callable[[], None]) -> None:
        times = []
        for _ in range(PAGES):
            began = time.perf_counter()
            deed()
            times.append(1000 * (time.perf_counter() - began))
        result[name] = {
            "p50_ms": round(statistics.median(times)),
            "p95_ms": round(statistics.quantiles(times, n=20)[-1]),
        }
        print(f"{name}: p50 {result[name]['p50_ms']} ms, p95 {result[name]['p95_ms']} ms", flush=True)

    measure("a page of rows", lambda: page(rng.randrange(rows - LIMIT)))
    measure(
        "the first page of hits of a new search", lambda: page(0, search=rng.choice("abcdefgh") + rng.choice("aeiou"))
    )
    measure("the first page of hits of a rare word", lambda: page(0, search="needle"))
    job = store.jobs.create("dataset_order", {"dataset_id": dataset_id, "column": "input"}, subject=dataset_id)
    began = time.perf_counter()
    browse.run_order(store.home, store, job, lambda share, words: None)
    result["first_sort_seconds"] = time.perf_counter() - began
    store.jobs.finish(job.id, "done")
    print(f"the first sort by a column: {result['first_sort_seconds']:.2f} s", flush=True)
    measure("a page of a sorted table", lambda: page(rng.randrange(rows - LIMIT), order="input", descending=True))
    return result
