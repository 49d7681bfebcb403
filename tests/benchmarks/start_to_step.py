"""Seconds from Start to the first optimiser step: the starter, an experiment after the first on its data set."""

import os
import signal
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.imports import import_dataset
from llm_studio.config import make_config
from llm_studio.starter import RECOMMENDED
from llm_studio.store import Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.worker.start import run_experiment
from tests.benchmarks.rates import as_dict, spread

SAMPLE = "orders_to_json"
TIMES = 5
BAR_SECONDS = 12.0
POLL_SECONDS = 0.01
LIMIT_SECONDS = 300.0


def timed_start(store: Store, dataset_id: str, number: int) -> dict[str, float]:
    """Start an experiment and stop it at its first step; seconds from Start to each phase and to "the first step"."""
    settings = {
        **RECOMMENDED,
        "dataset_id": dataset_id,
        "llm_backbone": "starter",
        "experiment_name": f"start {number}",
        "training.learning_rate": 1e-3 * (number + 1),
        "prediction.max_generated_rows": 20,
    }
    began = time.monotonic()
    record = start_experiment(store, make_config(settings))
    process = run_experiment(store, record, ends_with_parent=True)
    assert process is not None
    charts = ChartsDb(store.home.experiment(record.id))
    seen: dict[str, float] = {}
    after = 0
    while "the first step" not in seen:
        if process.poll() is not None or time.monotonic() - began > LIMIT_SECONDS:
            log = (store.home.experiment(record.id) / "log.txt").read_text()
            raise SystemExit(f"the experiment took no step:\n{log[-2000:]}")
        for sequence, kind, row in charts.read(after=after):
            after = sequence
            if kind in ("phase", "step"):
                seen.setdefault(row["text"] if kind == "phase" else "the first step", time.monotonic() - began)
        time.sleep(POLL_SECONDS)
    os.kill(process.pid, signal.SIGTERM)
    process.wait()
    return seen


def run(times: int = TIMES) -> dict[str, object]:
    """Bar: 12 s, imports included. The first start, which scores the backbone and makes tokens, is not counted."""
    starts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.create()
        with closing(Store.open(home)) as store:
            dataset = import_dataset(store, {"kind": "starter", "name": SAMPLE}, name=SAMPLE)
            for number in range(times + 1):
                starts.append(timed_start(store, dataset.id, number))
    counted = starts[1:]
    print(f"{times} starts after the first, seconds from Start, load {psutil.getloadavg()[0]:.1f}")
    for phase in counted[0]:
        values = [one[phase] for one in counted if phase in one]
        print(f"  {phase:<28}{spread(values)}")
    result = spread([one["the first step"] for one in counted])
    print(f"bar {BAR_SECONDS:.0f} s: {'met' if result.median <= BAR_SECONDS else 'MISSED'}", flush=True)
    return {"seconds": as_dict(result), "starts": starts, "load": psutil.getloadavg()[0]}
