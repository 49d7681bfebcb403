"""The benchmark for GPUs runs, on a tiny backbone on the CPU, so that it cannot rot; and its arithmetic is right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm_studio.config import make_config
from llm_studio.modeling.adapters import make_trainable
from llm_studio.tokens.sample import IGNORE_INDEX
from tests.benchmarks.gpu.__main__ import NEEDED, OURS, against, table
from tests.benchmarks.gpu.rows import MEDIAN, make_rows, packs
from tests.benchmarks.gpu.shapes import LLAMA_3_8B, LORA_R, Shape, make_model

ROOT = Path(__file__).resolve().parents[3]
DEEP = Shape("deep", 64, 192, 8, 4, 2, 512, 128)


def benchmark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.gpu", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_every_contestant_trains_a_tiny_backbone(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = benchmark("--tiny", "--device", "cpu", "--steps", "2", "--rounds", "2", "--json", str(report))
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert {result["round"] for result in found["results"]} == {0, 1}
    assert OURS in {result["name"] for result in found["results"]}
    for result in found["results"]:
        assert "failed" not in result, result
        assert 0 < result["learned_per_second"] < result["tokens_per_second"]
        assert 0 < result["share_of_matmul_rate"] < 1
        assert result["notes"]
    assert OURS in done.stdout
    assert len(found["answers"]["joining"]) == len(found["answers"]["batches"]) == 2
    assert "with rows that join" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    done = benchmark("--json", str(tmp_path / "report.json"))
    assert done.returncode == 2
    assert "there is no CUDA device here" in done.stdout
    assert not (tmp_path / "report.json").exists()


def test_the_rows_are_what_their_description_says() -> None:
    rows = make_rows(4000, longest=4096, vocabulary=1000)
    lengths = sorted(len(row.input_ids) for row in rows)
    assert lengths[2000] == pytest.approx(MEDIAN, rel=0.05)
    assert sum(lengths) / 4000 == pytest.approx(375, rel=0.05)
    assert sum(length > 1100 for length in lengths) / 4000 == pytest.approx(0.05, abs=0.01)
    assert all(row.labels[0] == IGNORE_INDEX and 0 < row.learned_tokens < len(row.input_ids) for row in rows)
    assert make_rows(4000, longest=4096, vocabulary=1000) == rows
    filled = [sum(len(row.input_ids) for row in pack) for pack in packs(rows, 4096)]
    assert max(filled) <= 4096
    assert sum(filled) / len(filled) > 0.85 * 4096


def test_operations_are_those_that_torch_counts() -> None:
    settings = {"training.lora_r": LORA_R, "training.lora_dropout": 0.0}
    model = make_trainable(make_model(DEEP, "cpu", "bfloat16"), make_config(settings), quantised=False).model
    model.config._attn_implementation = "eager"  # so that torch counts it
    ids = torch.randint(4, 512, (1, 96))
    keep = torch.arange(40, 95)
    with FlopCounterMode(display=False) as counter, torch.autocast("cpu", dtype=torch.bfloat16):
        model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits.float().sum().backward()
    whole, parted = DEEP.operations([96], len(keep)), DEEP.operations([1] * 96, len(keep))
    attention = (whole - parted) * 96**2 / (96**2 - 96)
    # Eager attention computes what lies after a token too; and the lowest layer has no gradient at its input.
    assert whole + attention == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_the_shape_has_eight_billion_weights() -> None:
    weights = LLAMA_3_8B.layers * sum(one * two for one, two in LLAMA_3_8B.linear)
    assert weights + 2 * LLAMA_3_8B.vocabulary * LLAMA_3_8B.width == pytest.approx(8.03e9, rel=0.001)


def test_the_table_compares_within_a_round_and_names_what_failed() -> None:
    figures = {"learned_per_second": 1.0, "share_of_matmul_rate": 0.5, "peak_bytes": None}
    results = [
        {"name": OURS, "round": 0, "tokens_per_second": 30.0} | figures,
        {"name": "other", "round": 0, "tokens_per_second": 10.0} | figures,
        {"name": OURS, "round": 1, "tokens_per_second": 20.0} | figures,
        {"name": "other", "round": 1, "tokens_per_second": 10.0} | figures,
        {"name": "third", "round": 0, "failed": "out of memory"},
    ]
    assert against(results) == {"other": [3.0, 2.0]}
    lines = "\n".join(table(results))
    assert "2.50 times the tokens per second (2.00 to 3.00)" in lines
    assert "failed: out of memory" in lines


def test_what_it_needs_is_told_before_anything_is_imported() -> None:
    code = (
        "import sys, importlib.util as util; found = util.find_spec; "
        "util.find_spec = lambda name: None if name == 'pydantic' else found(name); "
        "from tests.benchmarks.gpu.__main__ import main; code = main([]); assert 'torch' not in sys.modules; exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "Not measured: these packages are not installed: pydantic.\n")
    assert "pydantic" in NEEDED
