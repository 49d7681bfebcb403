"""Experiments of every state as a store has them, without a training."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from llm_studio.config import make_config, to_yaml
from llm_studio.store import DatasetRecord, ExperimentRecord, Store
from llm_studio.store.charts_db import ChartsDb

HOSTILE = "<img src=x onerror=\"window.hacked=1\"> & 'quotes' `code`"
BEFORE = {"step": 0, "rows": 100, "validation_loss": 3.5, "perplexity": 33.1, "bleu": 3.1, "exact_match": 0.0}
BEST = {"step": 40, "rows": 100, "validation_loss": 0.8, "perplexity": 2.2, "bleu": 82.4, "exact_match": 0.55}
LAST = {"step": 60, "rows": 100, "validation_loss": 0.9, "perplexity": 2.5, "bleu": 80.0, "exact_match": 0.5}
FAILURE = {"what": "Out of memory.", "where": "log.txt", "fix": "Lower the batch size."}


def add(store: Store, dataset: DatasetRecord, name: str, status: str = "finished", **changes: Any) -> ExperimentRecord:
    config = make_config({"experiment_name": name, "dataset_id": dataset.id, **changes})
    record = store.experiments.create(
        to_yaml(config), name=name, dataset_id=dataset.id, backbone="starter", problem_type="causal_lm", device="cpu"
    )
    if status == "queued":
        return record
    store.experiments.claim(record.id)
    folder = store.home.experiment(record.id)
    (folder / "log.txt").write_text(f"Loading {HOSTILE}\n")
    charts = ChartsDb(folder)
    charts.append("note", {"text": HOSTILE})
    for step in range(1, 61):
        charts.append("step", {"step": step, "epoch": step / 60, "loss": 1 / step, "tokens_per_second": 12473.0})
    charts.append("evaluation", LAST)
    charts.close()
    (folder / "predictions").mkdir()
    for step in (0, 60):
        rows = [
            {"row": row, "prompt": f"{row} {HOSTILE}", "target": HOSTILE, "output": HOSTILE if step else "",
             "nll_nats": 3.0, "answer_tokens": 6, "bleu": float(row), "exact_match": row > 30}
            for row in range(40)
        ]  # fmt: skip
        parquet.write_table(pa.Table.from_pylist(rows), folder / "predictions" / f"{step:08d}.parquet")
    for name_ in ("best", "last"):
        (folder / "checkpoints" / name_).mkdir(parents=True)
        (folder / "checkpoints" / name_ / "adapter_config.json").write_text("{}")
    if status == "stopped":
        (folder / "checkpoints" / "resume").mkdir()
    scores = {"before": BEFORE, "last": LAST, "best": BEST}
    store.experiments.update(record.id, progress=0.42, eta_seconds=170.0, phase="Learning: step 60", scores=scores)
    if status != "running":
        store.experiments.finish(record.id, status, FAILURE if status == "failed" else None)
    return store.experiments.get(record.id)
