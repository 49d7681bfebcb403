"""One experiment on two processes of the CPU: from its config to a checkpoint that loads, and how it may end.

Starting two processes takes long, so each test looks at many things in one experiment.
"""

import json
import math
import os
import signal
from pathlib import Path

import psutil
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import load_file

from llm_studio.actions.experiments import continue_experiment
from llm_studio.data import open_dataset
from llm_studio.store import ExperimentRecord, Store
from tests.support.tuned import make_backbone
from tests.worker.test_job import LIMIT_SECONDS, charts, log_of, plain_nats, process_of, started, store, wait_until

__all__ = ["store"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def logs_of(store: Store, record: ExperimentRecord) -> str:
    folder = store.home.experiment(record.id)
    return "\n".join((folder / name).read_text() for name in ("log.txt", "log-1.txt") if (folder / name).is_file())


def workers_of(launcher: int) -> dict[int, psutil.Process]:
    """The processes of the experiment by rank."""
    return {int(child.environ()["RANK"]): child for child in psutil.Process(launcher).children()}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "lora"), [("ddp", True), ("fsdp", True), ("fsdp", False)])
def test_an_experiment_on_two_processes_leaves_what_one_process_leaves(
    store: Store, backbone: Path, how: str, lora: bool
) -> None:
    changes = {"environment.gpus": "cpu:2", "environment.distributed": how, "training.epochs": 1, "training.lora": lora}
    record = started(store, backbone, **changes)
    assert record.device == "cpu:2"
    process = process_of(store, record)
    assert process.wait(LIMIT_SECONDS) == 0, logs_of(store, record)
    record = store.experiments.get(record.id)
    assert (record.status, record.progress, record.error) == ("finished", 1.0, None)
    assert set(record.scores) == {"before", "last", "best"}
    steps = charts(store, record, "step")
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    notes = " ".join(row["text"] for row in charts(store, record, "note"))
    assert "2 processes train together" in notes
    assert ("split over them (FSDP)" in notes) == (how == "fsdp")
    assert charts(store, record, "evaluation")[-1]["generated_rows"] == 5
    assert "Finished." in (store.home.experiment(record.id) / "log-1.txt").read_text()
    assert store.leases.holder("cpu") is None

    held_out = open_dataset(store.home.dataset(record.dataset_id)).split.validation
    table = parquet.read_table(max((store.home.experiment(record.id) / "predictions").iterdir())).to_pylist()
    assert [row["row"] for row in table] == list(held_out)
    assert [row["output"] is not None for row in table] == [place < 5 for place in range(len(table))]
    nats, tokens = plain_nats(store, record)
    assert record.scores["last"]["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert record.scores["before"]["perplexity"] > record.scores["last"]["perplexity"]


@pytest.mark.slow
def test_when_one_process_is_killed_the_others_end_and_it_is_said_and_a_stop_is_heard_by_all(
    store: Store, backbone: Path
) -> None:
    changes = {
        "environment.gpus": "cpu:2",
        "training.evaluate_before_training": False,
        "training.checkpoint_minutes": 1e-3,
    }
    record = started(store, backbone, **changes, **{"training.epochs": 200, "training.evaluation_epochs": 200.0})
    process = process_of(store, record)
    wait_until(lambda: len(charts(store, record, "step")) >= 3, process)
    lease = store.leases.holder("cpu")
    assert lease is not None and lease.pid == process.pid == store.experiments.get(record.id).pid
    workers = workers_of(process.pid)
    workers[1].kill()
    assert process.wait(LIMIT_SECONDS) == 1
    ended = store.experiments.get(record.id)
    assert ended.status == "failed" and ended.error is not None
    assert ended.error["what"].startswith("The experiment's process 2 (cpu) was ended by the system")
    assert not any(worker.is_running() for worker in workers.values())
    assert store.leases.holder("cpu") is None

    continue_experiment(store, record.id)
    process = process_of(store, store.experiments.get(record.id))
    begun = len(charts(store, record, "step"))
    wait_until(lambda: len(charts(store, record, "step")) > begun, process)
    workers = workers_of(process.pid)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(LIMIT_SECONDS) == 0, logs_of(store, record)
    assert store.experiments.get(record.id).status == "stopped"
    assert not any(worker.is_running() for worker in workers.values())
    assert (store.home.experiment(record.id) / "checkpoints" / "last" / "adapter_model.safetensors").is_file()

    continue_experiment(store, record.id)
    process = process_of(store, store.experiments.get(record.id))
    wait_until(lambda: log_of(store, record).count("Going on from step") == 2, process)
    workers = workers_of(process.pid)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(list(workers.values()), timeout=10)
    assert len(gone) == 2 and not alive, "no process outlives the one that started it"


SMALL = """
import os
import torch
from transformers import LlamaForCausalLM


class SmallLlama(LlamaForCausalLM):
    # its second process has memory for two rows at once

    def forward(self, input_ids=None, **named):
        if self.training and os.environ.get("RANK") == "1" and input_ids.shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(input_ids=input_ids, **named)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_when_one_device_is_too_small_all_start_again_with_half_the_micro_batch(
    store: Store, tmp_path: Path, how: str
) -> None:
    small = with_code(make_backbone(tmp_path / "small"), "SmallLlama", SMALL)
    changes = {"environment.gpus": "cpu:2", "environment.trust_remote_code": True, "training.packing": "never"}
    changes |= {
        "environment.distributed": how,
        "training.epochs": 1,
        "training.evaluate_before_training": False,
        "training.batch_size": 8,
    }
    record = started(store, small, **changes)
    assert process_of(store, record).wait(LIMIT_SECONDS) == 0, logs_of(store, record)
    assert store.experiments.get(record.id).status == "finished"
    notes = [row["text"] for row in charts(store, record, "note")]
    own_log = (store.home.experiment(record.id) / "log-1.txt").read_text()
    assert own_log.count("cpu ran out of memory on a micro-batch of 4 rows.") == 1
    assert sum("micro-batches hold 2 rows" in note for note in notes) == 1
    steps = [row["step"] for row in charts(store, record, "step")]
    assert steps == list(range(1, len(steps) + 1))


SPOILT = """
import os
from transformers import LlamaForCausalLM


class SpoiltLlama(LlamaForCausalLM):
    # its second process computes no number from the fifth step on

    taken = 0

    def forward(self, *arguments, **named):
        found = super().forward(*arguments, **named)
        if self.training:
            self.taken += 1
            if os.environ.get("RANK") == "1" and self.taken > 4:
                found.logits = found.logits * float("nan")
        return found
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_when_one_process_computes_no_number_all_end_with_the_last_good_weights_and_the_reason(
    store: Store, tmp_path: Path, how: str
) -> None:
    spoilt = with_code(make_backbone(tmp_path / "spoilt"), "SpoiltLlama", SPOILT)
    changes = {"environment.gpus": "cpu:2", "environment.trust_remote_code": True, "environment.distributed": how}
    changes |= {"training.packing": "never", "training.evaluate_before_training": False}
    record = started(store, spoilt, **changes)
    process = process_of(store, record)
    assert process.wait(LIMIT_SECONDS) == 1
    ended = store.experiments.get(record.id)
    assert ended.status == "failed" and ended.error is not None
    assert "no number" in ended.error["what"], (ended.error, logs_of(store, record))
    assert ended.error["fix"]
    assert len(charts(store, record, "step")) >= 3
    kept = load_file(store.home.experiment(record.id) / "checkpoints" / "last" / "adapter_model.safetensors")
    assert all(bool(torch.isfinite(weight).all()) for weight in kept.values())
    assert any(bool(weight.any()) for name, weight in kept.items() if "lora_B" in name)
    assert store.leases.holder("cpu") is None


def with_code(backbone: Path, name: str, code: str) -> Path:
    """The backbone with a class of its own."""
    (backbone / "own.py").write_text(code, encoding="utf-8")
    config = json.loads((backbone / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": f"own.{name}"}
    (backbone / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return backbone
