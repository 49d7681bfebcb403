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
from tests.benchmarks.watching import peak_memory

ROWS = 1_000_000
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


def run(rows: int = ROWS) -> dict[str, object]:
    """Imports the rows through the command line, then asks for pages as the data set's page does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        home = Home(Path(folder) / "home")
        megabytes = path.stat().st_size / 1e6
        command = [sys.executable, "-m", "llm_studio.cli", "dataset", "import", str(path), "--name", "rows"]
        with subprocess.Popen(command, env={**os.environ, "LLM_STUDIO_HOME": str(home.path)}) as process:
            began = time.monotonic()
            memory = peak_memory(process)
            seconds = time.monotonic() - began
        rate = f"{rows / seconds:,.0f} rows/s, peak memory {memory:.2f} GB"
        print(f"import of {rows:,} rows, {megabytes:,.0f} MB, whole command: {seconds:.1f} s, {rate}", flush=True)
        with closing(Store.open(home)) as store:
            found = pages(store)
    return {"import_seconds": seconds, "import_peak_gb": memory, **found}


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
        assert len(list(dataset.table.take(found.rows))) == LIMIT

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
        print(f"{name}: p50 {result[name]['p50_ms']} ms, p95 {result[name]['p95_ms']} ms", flush=True)  # type: ignore[index]

    measure("a page of rows", lambda: page(rng.randrange(rows - LIMIT)))
    measure(
        "the first page of hits of a new search", lambda: page(0, search=rng.choice("abcdefgh") + rng.choice("aeiou"))
    )
    job = store.jobs.create("dataset_order", {"dataset_id": dataset_id, "column": "input"}, subject=dataset_id)
    began = time.perf_counter()
    browse.run_order(store.home, store, job, lambda share, words: None)
    result["first_sort_seconds"] = time.perf_counter() - began
    store.jobs.finish(job.id, "done")
    print(f"the first sort by a column: {result['first_sort_seconds']:.2f} s", flush=True)
    measure("a page of a sorted table", lambda: page(rng.randrange(rows - LIMIT), order="input", descending=True))
    return result
