"""Forecast against experiment: six configurations, each checked and run three times in turn; time and peak memory.

LLM_STUDIO_FORECAST=2 takes only the first two configurations, LLM_STUDIO_FORECAST=2x1 those once each.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.experiments import start_experiment
from llm_studio.actions.preflight import forecast_of, look, start_check
from llm_studio.config import ExperimentConfig, make_config
from llm_studio.starter import BACKBONE, RECOMMENDED
from llm_studio.store import DatasetRecord, Home, Store
from llm_studio.training.forecast import Forecast
from llm_studio.worker.start import DATA_JOB, run_experiment

VARIABLE = "LLM_STUDIO_FORECAST"
TIME_MEDIAN, TIME_WORST, MEMORY_MEDIAN = 0.15, 0.40, 0.10
TURNS = 3
LOOK_SECONDS = 0.02
PARTS = ("start", "training", "scoring", "saving")


@dataclass(frozen=True)
class Case:
    """One configuration. backbone: "starter" or "llama"; rows: how many of the sample."""

    name: str
    backbone: str
    sample: str
    rows: int
    changes: Mapping[str, Any]


CASES = (
    Case("starter, balanced", "starter", "orders_to_json", 1200, {}),
    Case("llama, int8, batch 4", "llama", "story_questions", 400, {
        "architecture.backbone_dtype": "int8", "training.batch_size": 4, "prediction.max_generated_rows": 20,
    }),
    Case("starter, full training, batch 8", "starter", "polite_letters", 1200, {
        "training.lora": False, "training.batch_size": 8, "training.learning_rate": 5e-4, "training.epochs": 2,
    }),
    Case("llama, checkpointing, 4 x 4 rows", "llama", "polite_letters", 800, {
        "architecture.gradient_checkpointing": True, "training.batch_size": 4, "training.grad_accumulation": 4,
        "prediction.max_generated_rows": 20,
    }),
    Case("starter, at most 96 tokens, batch 32", "starter", "story_questions", 1200, {
        "tokenizer.max_length": 96, "training.batch_size": 32, "prediction.max_generated_rows": 50,
    }),
    Case("llama, full training, batch 16", "llama", "orders_to_json", 800, {
        "training.lora": False, "training.batch_size": 16, "training.epochs": 2, "training.evaluation_epochs": 1,
        "prediction.max_generated_rows": 20,
    }),
)  # fmt: skip


def make_llama(folder: Path) -> Path:
    """A random Llama of 7 million parameters with the starter's tokenizer; untrained, so that its answers never end."""
    import torch  # here, so that benchmarks beside it can still set their threads
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(str(BACKBONE))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config_of(case: Case, dataset: DatasetRecord, llama: Path) -> ExperimentConfig:
    """The case's config; the starter's begins with what it recommends."""
    starter = case.backbone == "starter"
    settings: dict[str, Any] = dict(RECOMMENDED) if starter else {"training.epochs": 1, "training.learning_rate": 1e-3}
    settings |= {"llm_backbone": "starter" if starter else str(llama), "dataset_id": dataset.id}
    settings |= {"environment.gpus": "cpu", "prediction.max_length_inference": 100}
    return make_config(settings | dict(case.changes))


def dataset_of(store: Store, case: Case) -> DatasetRecord:
    """The sample, or the first of its rows."""
    name = f"{case.sample} {case.rows}"
    found = next((record for record in store.datasets.list() if record.name == name), None)
    if found is not None:
        return found
    from llm_studio.starter import SAMPLES

    source = next(sample.path for sample in SAMPLES if sample.name == case.sample)
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    part = store.home.run / f"{case.sample}-{case.rows}{source.suffix}"
    part.write_text("".join(lines[: case.rows + (source.suffix == ".csv")]), encoding="utf-8")
    return import_dataset(store, {"kind": "local", "path": str(part)}, name=name)


def check(store: Store, dataset: DatasetRecord, config: ExperimentConfig) -> tuple[Forecast, float]:
    """A fresh pre-flight in a process of its own: its forecast, and how long it took."""
    began = time.monotonic()
    job = start_check(store, dataset, config, device="cpu", context_length=None)
    command = [*DATA_JOB, job.id, "--home", str(store.home.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    measured = look(store, dataset, config, device="cpu", context_length=None).measured
    if done.returncode or measured is None:
        raise SystemExit(f"the check failed: {store.jobs.get(job.id).error}\n{done.stderr[-2000:]}")
    return forecast_of(store, measured, config), seconds


def experiment(store: Store, config: ExperimentConfig) -> tuple[float, int]:
    """Run it in its own process: seconds from start to end, and the peak of its resident memory in bytes."""
    record = start_experiment(store, config)
    began = time.monotonic()
    process = run_experiment(store, record, ends_with_parent=True)
    if process is None:
        raise SystemExit("the device is in use")
    peak = 0
    while process.poll() is None:
        if (status := Path(f"/proc/{process.pid}/status")).is_file():
            peak = max(peak, _peak(status))
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    if store.experiments.get(record.id).status != "finished":
        raise SystemExit((store.home.experiment(record.id) / "log.txt").read_text()[-2000:])
    return seconds, peak


def _peak(status: Path) -> int:
    """0 once the process is ending, when its status names no peak any more."""
    from llm_studio.worker.preflight_memory import resident_peak

    try:
        return resident_peak(status) if "VmHWM" in status.read_text() else 0
    except (OSError, psutil.Error):
        return 0


def run() -> dict[str, object]:
    """One line per turn, then the medians and whether each bar is met."""
    cases, _, turns = os.environ.get(VARIABLE, "").partition("x")
    chosen = CASES[: int(cases or len(CASES))]
    rows: list[dict[str, Any]] = []
    print(f"{'configuration':<40}{'check':>7}{'forecast':>10}{'took':>8}{'error':>8}{'peak':>16}{'error':>8}")
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Home(Path(folder) / "home"))
        llama = make_llama(Path(folder) / "llama")
        for turn in range(int(turns or TURNS)):
            for case in chosen:
                dataset = dataset_of(store, case)
                config = config_of(case, dataset, llama).with_changes({"experiment_name": f"{case.name} {turn}"})
                found, checked = check(store, dataset, config)
                seconds, peak = experiment(store, config)
                row = {
                    "configuration": case.name, "turn": turn, "check_seconds": checked,
                    "forecast_seconds": found.seconds, "seconds": seconds,
                    "forecast_peak_bytes": found.memory_bytes, "peak_bytes": peak,
                    "time_error": found.seconds / seconds - 1, "memory_error": found.memory_bytes / peak - 1,
                    "parts": {name: getattr(found, f"{name}_seconds") for name in PARTS},
                }  # fmt: skip
                rows.append(row)
                print(
                    f"{case.name:<40}{checked:>6.0f}s{found.seconds:>9.1f}s{seconds:>7.1f}s{row['time_error']:>+8.0%}"
                    f"{found.memory_bytes / 1e6:>7.0f} /{peak / 1e6:>5.0f} MB{row['memory_error']:>+8.1%}",
                    flush=True,
                )
        store.close()
    return told(rows)


def told(rows: list[dict[str, Any]]) -> dict[str, object]:
    """The bars: medians of the absolute errors, and the worst of the times."""
    time_errors = [abs(row["time_error"]) for row in rows]
    memory_errors = [abs(row["memory_error"]) for row in rows]
    summary = {
        "time_error_median": statistics.median(time_errors),
        "time_error_worst": max(time_errors),
        "memory_error_median": statistics.median(memory_errors),
        "memory_error_worst": max(memory_errors),
    }
    met = (
        summary["time_error_median"] <= TIME_MEDIAN
        and summary["time_error_worst"] <= TIME_WORST
        and summary["memory_error_median"] <= MEMORY_MEDIAN
    )
    print(
        f"time: median {summary['time_error_median']:.1%} (bar {TIME_MEDIAN:.0%}), worst "
        f"{summary['time_error_worst']:.1%} (bar {TIME_WORST:.0%}); memory: median "
        f"{summary['memory_error_median']:.1%} (bar {MEMORY_MEDIAN:.0%}), worst {summary['memory_error_worst']:.1%}: "
        f"{'met' if met else 'NOT met'}"
    )
    return {**summary, "met": met, "rows": rows, "python": sys.version.split()[0]}
