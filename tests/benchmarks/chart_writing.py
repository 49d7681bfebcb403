"""What charts cost: their share of a training step of the starter, and of files that have grown long."""

import contextlib
import io
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil

from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.imports import import_dataset
from llm_studio.config import make_config
from llm_studio.modeling.threads import share_cores
from llm_studio.starter import BACKBONE, RECOMMENDED, SAMPLES
from llm_studio.store import Home, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.worker.job_reporting import Reporter

if TYPE_CHECKING:
    from llm_studio.data.types import Conversation

POINTS, PART = 100_000, 10_000
NEW_POINTS, READS = 200, 50
STEPS = 60
BAR_SHARE, BAR_READ_MS, BAR_GROWTH = 0.01, 10.0, 1.5
POINT = {
    "step": 1, "epoch": 0.1, "loss": 2.5, "learning_rate": 1e-4, "gradient_norm": 0.7, "tokens_per_second": 2000.0,
    "memory_bytes": 2**30, "seconds": 12.5,
}  # fmt: skip


def long_file() -> dict[str, Any]:
    """Microseconds of an append at both ends of a file of POINTS points, milliseconds to read what is new in it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(ChartsDb(Path(folder))) as charts:
        seconds = []
        for step in range(POINTS):
            began = time.perf_counter()
            charts.append("step", POINT | {"step": step})
            seconds.append(time.perf_counter() - began)
        charts.flush()
        reader, reads = ChartsDb(Path(folder)), []
        for _ in range(READS):
            began = time.perf_counter()
            rows = reader.read(after=POINTS - NEW_POINTS, kinds=("step",))
            reads.append(1000 * (time.perf_counter() - began))
            assert len(rows) == NEW_POINTS
    first, last = (1e6 * statistics.mean(part) for part in (seconds[:PART], seconds[-PART:]))
    read = statistics.median(reads)
    print(f"{POINTS:,} points: an append takes {first:.0f} µs in the first {PART:,}, {last:.0f} µs in the last")
    print(f"  bar: not above {BAR_GROWTH} times the first: {'met' if last <= BAR_GROWTH * first else 'MISSED'}")
    print(f"reading the last {NEW_POINTS}: median {read:.1f} ms, at most {max(reads):.1f} ms", flush=True)
    print(f"  bar {BAR_READ_MS:.0f} ms: {'met' if read <= BAR_READ_MS else 'MISSED'}")
    return {"first_append_us": first, "last_append_us": last, "read_ms": read, "slowest_read_ms": max(reads)}


def share_of_a_step() -> dict[str, float]:
    """Trains the starter with the listener of an experiment, and stops the time that listener takes for each step."""
    share_cores()  # as the process of an experiment does, before torch is there
    import torch

    from llm_studio.modeling import devices
    from llm_studio.modeling.adapters import make_trainable
    from llm_studio.modeling.loading import load_model, load_tokenizer, quiet
    from llm_studio.modeling.origin import Origin
    from llm_studio.tokens.making import make_template
    from llm_studio.training.events import Event, StepDone
    from llm_studio.training.trainer import Trainer
    from llm_studio.worker.job_listener import TrainingListener

    quiet()
    devices.set_threads()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Store.open(made_home(Path(folder)))) as store:
        dataset = import_dataset(store, {"kind": "starter", "name": SAMPLES[0].name}, name="rows")
        config = make_config({**RECOMMENDED, "llm_backbone": "starter", "dataset_id": dataset.id, "training.epochs": 1})
        record = start_experiment(store, config)
        reporter = Reporter(store, record.id, threading.Event())
        template = make_template(load_tokenizer(config), config)
        samples = [template.encode(one) for one in conversations(STEPS * config.training.batch_size)]
        model, _ = load_model(config.with_changes({"llm_backbone": str(BACKBONE)}), device="cpu", trains=True)
        model = make_trainable(model, config, quantised=False).model
        no_evaluations: Any = SimpleNamespace(config=config)
        spent, ends = [], []

        def listen(event: Event) -> None:
            if isinstance(event, StepDone):
                began = time.perf_counter()
                listener(event)
                ends.append(time.perf_counter())
                spent.append(ends[-1] - began)

        trainer = Trainer(
            model, samples, config, folder=Path(folder) / "resume", device="cpu", pad_id=template.pad_id,
            autocast=torch.bfloat16 if devices.cpu_computes_bfloat16() else None, packed=True, listen=listen,
        )  # fmt: skip
        listener = TrainingListener(
            model,
            template.tokenizer,
            Path(folder),
            record,
            trainer.plan,
            no_evaluations,
            reporter,
            Origin(0, 0.0, "starter", ""),
        )
        with contextlib.redirect_stdout(io.StringIO()):  # the lines of the log
            trainer.run()
        reporter.close()
    step = (ends[-1] - ends[0]) / (len(ends) - 1)
    writing = statistics.mean(spent[1:])
    share = writing / step
    print(f"a step of the starter takes {1000 * step:.0f} ms, writing its charts {1000 * writing:.2f} ms: {share:.2%}")
    print(f"  bar {BAR_SHARE:.0%}: {'met' if share < BAR_SHARE else 'MISSED'}", flush=True)
    return {"step_ms": 1000 * step, "writing_ms": 1000 * writing, "share": share}


def conversations(count: int) -> "list[Conversation]":
    """The first rows of the first sample."""
    from llm_studio.data.types import Conversation, Message

    lines = [json.loads(line) for line in SAMPLES[0].path.read_text(encoding="utf-8").splitlines()[:count]]
    return [
        Conversation(row, (Message("user", line["order"]), Message("assistant", line["json"], True)))
        for row, line in enumerate(lines)
    ]


def made_home(folder: Path) -> Home:
    """A new home in the folder."""
    home = Home(folder / "home")
    home.create()
    return home


def run() -> dict[str, object]:
    """Bars: below 1 % of a step; appends flat and new points read within 10 ms at 100,000 points."""
    print(f"load {psutil.getloadavg()[0]:.1f}")
    return {"long file": long_file(), "share of a step": share_of_a_step()}
