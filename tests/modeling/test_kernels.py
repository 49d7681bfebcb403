"""Fused kernels are taken when they compute the same and undone when not; compiled layers give the same losses."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama

from llm_studio.modeling import heap, kernels
from llm_studio.modeling.allocator import OVERRULED_BY, SETTING, let_segments_grow, memory_words
from llm_studio.modeling.devices import Choice
from llm_studio.modeling.kernels import FUSED, LONG_SECONDS, OWN, fuse, offer_compiling
from llm_studio.modeling.loading import load_model, quiet
from tests.support.tiny import config_of, run
from tests.support.tuned import make_backbone

GPU = torch.device("cuda")
IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def own_rope() -> Any:
    before = modeling_llama.apply_rotary_pos_emb
    yield
    modeling_llama.apply_rotary_pos_emb = before


def patches(fault: str) -> Callable[..., None]:
    """A function with the arguments of Liger's, that puts equal code, or other code, where Liger puts its own."""

    def apply(
        rope: bool = True,
        cross_entropy: bool = False,
        fused_linear_cross_entropy: bool = True,
        rms_norm: bool = True,
        swiglu: bool = True,
        model: Any = None,
    ) -> None:
        assert rope and rms_norm and swiglu and not cross_entropy and not fused_linear_cross_entropy
        plain = modeling_llama.apply_rotary_pos_emb
        modeling_llama.apply_rotary_pos_emb = lambda *parts, **named: plain(*parts, **named)

        def forward(self: Any, hidden: torch.Tensor) -> torch.Tensor:
            gate = torch.nn.functional.silu(self.gate_proj(hidden))
            made: torch.Tensor = self.down_proj(gate * self.up_proj(hidden))
            return made.detach() if fault == "no gradient" else made * (1.1 if fault == "other numbers" else 1.0)

        for layer in model.model.layers:
            layer.mlp.forward = MethodType(forward, layer.mlp)
            if fault == "fails":
                raise RuntimeError("Failed to find C compiler.\nMore of it.")

    return apply


def loaded(backbone: Path) -> Any:
    return load_model(config_of(backbone), device="cpu")[0]


def test_kernels_that_compute_the_same_are_taken(backbone: Path) -> None:
    model = loaded(backbone)
    before = model(IDS).logits
    choice = fuse(model, "auto", GPU, lambda: {"llama": patches("none")})
    assert choice.value == FUSED
    assert "rope and rms_norm and swiglu" in choice.reason
    assert all("forward" in vars(layer.mlp) for layer in model.model.layers)
    assert torch.allclose(model(IDS).logits, before, atol=1e-5)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("other numbers", "something else"),
        ("no gradient", "something else"),
        ("fails", "failed: Failed to find C comp"),
    ],
)
def test_kernels_that_do_not_are_undone(backbone: Path, fault: str, why: str) -> None:
    model = loaded(backbone)
    before, rope = model(IDS).logits, modeling_llama.apply_rotary_pos_emb
    choice = fuse(model, "auto", GPU, lambda: {"llama": patches(fault)})
    assert choice.value == OWN
    assert why in choice.reason
    assert modeling_llama.apply_rotary_pos_emb is rope
    assert not any("forward" in vars(layer.mlp) for layer in model.model.layers)
    assert torch.equal(model(IDS).logits, before)


def test_why_there_are_none_is_said(backbone: Path) -> None:
    model = loaded(backbone)
    none: dict[str, Any] = {}
    assert fuse(model, "never", GPU) == Choice(OWN, "as set")
    assert "need a GPU" in fuse(model, "auto", torch.device("cpu")).reason
    assert "not installed" in fuse(model, "auto", GPU, lambda: None).reason
    assert "does not know the architecture llama" in fuse(model, "auto", GPU, lambda: none).reason


def test_a_gpu_is_prepared_and_a_cpu_left_alone(backbone: Path) -> None:
    model = loaded(backbone)
    before = torch.get_float32_matmul_precision()
    assert kernels.prepare(model, "auto", torch.device("cpu"), mixed_precision=True) == []
    assert torch.get_float32_matmul_precision() == before
    try:
        exact = kernels.prepare(model, "never", GPU, mixed_precision=False)
        assert torch.get_float32_matmul_precision() == "highest"
        words = kernels.prepare(model, "never", GPU, mixed_precision=True)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert ["TF32" in words[0], "its own, as set" in words[1], "GPU memory" in words[2]] == [True, True, True]
    assert "mixed precision is off" in exact[0]


def test_memory_segments_grow_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OVERRULED_BY:
        monkeypatch.delenv(name, raising=False)
    assert "fixed size" in memory_words()
    let_segments_grow()
    monkeypatch.setenv(OVERRULED_BY[0], os.environ[OVERRULED_BY[0]])  # so that it is taken away again
    assert SETTING in memory_words()
    monkeypatch.delenv(OVERRULED_BY[0])
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    let_segments_grow()
    assert OVERRULED_BY[0] not in os.environ
    assert "max_split_size_mb:64, since the environment says so" in memory_words()


@pytest.mark.parametrize("process", ["job", "preflight_job"])
def test_an_experiment_and_its_check_set_the_same_before_torch_is_imported(process: str) -> None:
    code = (
        f"import sys, os, llm_studio.worker.{process} as process; assert 'torch' not in sys.modules; "
        "process.ready(); print(*(os.environ.get(name) for name in sys.argv[1:])); import torch"
    )
    names = (OVERRULED_BY[0], heap.VARIABLE)
    clean = {name: value for name, value in os.environ.items() if name not in (*OVERRULED_BY, heap.VARIABLE)}
    done = subprocess.run([sys.executable, "-c", code, *names], env=clean, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [SETTING, heap.KERNELS], done.stderr


def test_compiling_is_offered_for_long_experiments_on_a_gpu_only() -> None:
    assert "environment.compile_model" in (offer_compiling(GPU, 3 * LONG_SECONDS, compiles=False) or "")
    assert offer_compiling(GPU, LONG_SECONDS / 2, compiles=False) is None
    assert offer_compiling(GPU, 3 * LONG_SECONDS, compiles=True) is None
    assert offer_compiling(torch.device("cpu"), 3 * LONG_SECONDS, compiles=False) is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, and there is none here")
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_compiled_layers_give_the_same_losses(backbone: Path, tmp_path: Path, packed: bool) -> None:
    from torch._dynamo.utils import counters

    config = config_of(backbone, **{"training.lora_dropout": 0.0, "training.epochs": 1})
    plain, _, _ = run(config, tmp_path / "a", packed=packed)
    counters.clear()
    steps, model, _ = run(config.with_changes({"environment.compile_model": True}), tmp_path / "b", packed=packed)
    assert counters["stats"]["unique_graphs"] > 0, "something was compiled"
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in plain], abs=1e-4)
    assert not any("forward" in vars(layer) for layer in kernels.decoder_layers(model)), "as it was, for scoring"
