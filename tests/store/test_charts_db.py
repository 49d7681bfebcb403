"""charts.db: what is written comes back, to readers in other processes too, while it is written."""

import math
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from llm_studio.store.charts_db import FILE, ChartsDb

WRITER = """
import sys, time
from pathlib import Path
from llm_studio.store.charts_db import ChartsDb
charts = ChartsDb(Path(sys.argv[1]))
for step in range(1, 1501):
    charts.append("step", {"step": step, "loss": 1 / step})
    if step % 300 == 0:
        charts.append("evaluation", {"step": step, "bleu": 1.0})
    time.sleep(0.001)
charts.close()
"""


def test_rows_come_back_in_order_with_their_kind(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    assert charts.read() == []
    charts.append("step", {"step": 1, "loss": 2.5})
    charts.append("phase", {"text": "Loading the backbone"})
    charts.append("step", {"step": 2, "loss": 2.25})
    charts.flush()
    assert charts.read() == [
        (1, "step", {"step": 1, "loss": 2.5}),
        (2, "phase", {"text": "Loading the backbone"}),
        (3, "step", {"step": 2, "loss": 2.25}),
    ]
    assert charts.read(after=2) == [(3, "step", {"step": 2, "loss": 2.25})]
    assert [kind for _, kind, _ in charts.read(kinds={"phase"})] == ["phase"]
    charts.close()


def test_what_is_not_a_number_is_null(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    charts.append("step", {"loss": math.nan, "norm": math.inf, "deep": [{"x": -math.inf}]})
    charts.close()
    assert charts.read()[0][2] == {"loss": None, "norm": None, "deep": [{"x": None}]}


def test_it_goes_on_where_it_ended_and_can_be_copied(tmp_path: Path) -> None:
    first = ChartsDb(tmp_path / "a")
    (tmp_path / "a").mkdir()
    first.append("step", {"step": 1})
    first.close()
    again = ChartsDb(tmp_path / "a")
    assert again.append("step", {"step": 2}) == 2
    again.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert [sequence for sequence, _, _ in ChartsDb(tmp_path / "b").read()] == [1, 2]


def test_the_order_of_keys_is_that_of_numbers_and_values_are_json(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    for step in range(12):
        charts.append("step", {"step": step})
    charts.close()
    assert [row["step"] for _, _, row in charts.read()] == list(range(12))
    key, value = sqlite3.connect(tmp_path / FILE).execute("SELECT key, value FROM rows ORDER BY key").fetchone()
    assert (key, value) == ("000000000001", '{"kind": "step", "row": {"step": 0}}')


def test_readers_in_other_processes_follow_a_writer_without_a_lock(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
    charts, other = ChartsDb(tmp_path), ChartsDb(tmp_path)
    last, seen, looks = 0, [], 0
    while writer.poll() is None or other.read(after=last):
        new = charts.read(after=last)
        other.read()
        if new:
            looks += 1
            last = new[-1][0]
            seen += [row["step"] for _, kind, row in new if kind == "step"]
        time.sleep(0.05)
    assert writer.returncode == 0
    assert seen == list(range(1, 1501))
    assert looks > 3, "rows arrive while they are written"


def test_reading_only_what_is_new_is_quick(tmp_path: Path) -> None:
    charts = ChartsDb(tmp_path)
    for step in range(20_000):
        charts.append("step", {"step": step, "loss": 1.0})
    charts.close()
    begun = time.perf_counter()
    for _ in range(20):
        charts.read(after=19_990)
    assert (time.perf_counter() - begun) / 20 < 0.02
