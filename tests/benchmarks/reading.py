"""Reads JSON Lines with the studio and with pandas, in turn: rows per second, ratio, peak memory of our process."""

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TIMES = 3
WORDS = 5000


def rows(count: int) -> Iterator[dict[str, str]]:
    """Rows of about 1,000 characters in instruction, input (a third is empty) and output; the same on every call."""
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(WORDS)]
    words += ["größer", "naïve", "“quoted”", "😀"]
    # Texts are cut from a long one, so that making the file does not take longer than reading it.
    pool = " ".join(chance.choices(words, k=2_000_000))

    def text(characters: int) -> str:
        start = chance.randrange(len(pool) - characters)
        return pool[start : start + characters]

    for index in range(count):
        yield {
            "instruction": f"{index}: {text(chance.randint(80, 220))}",
            "input": text(chance.randint(200, 400)) if index % 3 else "",
            "output": f"{text(chance.randint(250, 550))}\n{text(chance.randint(100, 300))}",
        }


def write(path: Path, count: int) -> None:
    """The data file."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows(count):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def ours(path: Path, target: Path) -> int:
    """What an import does with the file; returns the number of rows."""
    from llm_studio.data.reading import read_file

    return read_file(path, path.name, target, lambda share, words: None).row_count


def pandas(path: Path, target: Path) -> int:
    """The same with pandas."""
    import pandas as pd

    table = pd.read_json(path, lines=True)
    table.to_parquet(target)
    return len(table)


CONTESTANTS = {"ours": ours, "pandas": pandas}


def measure(who: str, path: Path) -> dict[str, float]:
    """Seconds (imports not counted) and peak memory in MB of one contestant, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.reading", who, str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def contestant(who: str, path: Path) -> None:
    """Runs in the child: a small file first, so that imports on first use are not measured, then the real one."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        small, target = Path(folder) / "small.jsonl", Path(folder) / "rows.parquet"
        small.write_text('{"instruction": "a", "input": "", "output": "b"}\n' * 2)
        CONTESTANTS[who](small, target)
        began = time.monotonic()
        count = CONTESTANTS[who](path, target)
        seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "rows": count}))


def run(row_count: int = 200_000) -> dict[str, object]:
    """Alternates both TIMES times; the bar is three times the rate of pandas and 1.5 GB at 1,000,000 rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write(path, row_count)
        megabytes = path.stat().st_size / 1e6
        print(f"JSON Lines, {row_count:,} rows, {megabytes:,.0f} MB; seconds of {TIMES} readings in turn")
        found: dict[str, list[dict[str, float]]] = {who: [] for who in CONTESTANTS}
        for _ in range(TIMES):
            for who, measured in found.items():
                measured.append(measure(who, path))
    results: dict[str, object] = {"rows": row_count, "megabytes": round(megabytes)}
    medians = {who: statistics.median(one["seconds"] for one in measured) for who, measured in found.items()}
    for who, measured in found.items():
        assert all(one["rows"] == row_count for one in measured)
        peak = max(one["peak_mb"] for one in measured)
        rate = row_count / medians[who]
        each = ", ".join(f"{one['seconds']:.2f}" for one in measured)
        print(f"{who:<8}{medians[who]:>7.2f} s ({each}){rate:>12,.0f} rows/s{peak:>9,.0f} MB peak")
        results[who] = {"seconds": round(medians[who], 2), "rows_per_second": round(rate), "peak_mb": round(peak)}
    results["ratio"] = round(medians["pandas"] / medians["ours"], 2)
    print(f"ratio   {results['ratio']:>7}x the rate of pandas")
    return results


if __name__ == "__main__":
    if sys.argv[1] in CONTESTANTS:
        contestant(sys.argv[1], Path(sys.argv[2]))
    else:
        run(int(sys.argv[1]))
