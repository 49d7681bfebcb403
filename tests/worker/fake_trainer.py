"""A trainer without a model: starts as the real one does and behaves as the first line of its config says.

work SECONDS: counts up, honours Stop and SIGTERM with a checkpoint. deaf: ignores SIGTERM. exit CODE. silent: ends with
0 and no word. failed: says itself what was wrong.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.store.processes import own_identity


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment")
    parser.add_argument("--home", type=Path)
    parsed = parser.parse_args()
    store = Store.open(Home(parsed.home))
    folder = store.home.experiment(parsed.experiment)
    behaviour, *rest = (folder / "config.yaml").read_text().split()
    record = store.experiments.set_running(parsed.experiment, *own_identity())
    assert store.leases.acquire(record.device, "experiment", record.id, *own_identity())
    print(f"{behaviour} begins on {record.device}", flush=True)
    if behaviour == "exit":
        return int(rest[0])
    if behaviour == "silent":
        return 0
    if behaviour == "failed":
        error = UserError("The learning rate is too high.", where="training.learning_rate", fix="Halve it.")
        store.experiments.finish(record.id, "failed", error.as_dict())
        return 1
    told = []
    signal.signal(signal.SIGTERM, lambda number, frame: None if behaviour == "deaf" else told.append(number))
    return work(store, record.id, folder, float(rest[0]), told)


def work(store: Store, experiment_id: str, folder: Path, seconds: float, told: list[int]) -> int:
    charts = ChartsDb(folder)
    resume = folder / "checkpoints" / "resume"
    step = int((resume / "step").read_text()) if resume.is_dir() else 0
    total = round(seconds / 0.05)
    while step < total:
        step += 1
        charts.append("step", {"step": step, "loss": 1 / step})
        store.experiments.update(experiment_id, progress=step / total, phase="Learning")
        time.sleep(0.05)
        if told or store.experiments.get(experiment_id).stop_requested:
            resume.mkdir(parents=True, exist_ok=True)
            (resume / "step").write_text(str(step))
            charts.close()
            store.experiments.finish(experiment_id, "stopped")
            return 0
    charts.close()
    store.experiments.finish(experiment_id, "finished")
    return 0


if __name__ == "__main__":
    sys.exit(main())
