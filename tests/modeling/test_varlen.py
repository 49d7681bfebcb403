"""Packed attention by a kernel for all rows at once: what it is handed, and that it agrees with one row at a time.

No GPU is needed: the kernel is a plain formula with the arguments of torch's, as of 2.11 and as of 2.12.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.modeling import attention, varlen
from llm_studio.modeling.attention import (
    PACKED,
    PACKED_AT_ONCE,
    attending_apart,
    attention_at_once,
    choose_packed_attention,
    packed_attention,
)
from llm_studio.modeling.loading import quiet
from llm_studio.training.batches import packed
from tests.support.tiny import config_of, model_of, rows_of
from tests.support.tuned import make_backbone

Heads = tuple[int, int, int]


def plain_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    """varlen_attn of torch 2.11, by a mask over all tokens; refuses what the real one refuses."""
    assert query.shape[1:] == key.shape[1:] == value.shape[1:], "torch 2.11 wants as many key as query heads"
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert max_q == max_k == int(cu_seq_q.diff().max())
    assert query.stride(-1) == 1
    total = query.shape[0]
    assert int(cu_seq_q[-1]) == total
    row = torch.bucketize(torch.arange(total), cu_seq_q[1:].long(), right=True)
    behind = torch.arange(total)[:, None] - torch.arange(total)[None, :]
    left, right = window_size
    seen = row[:, None] == row[None, :]
    seen &= behind >= -right if right >= 0 else seen
    seen &= behind <= left if left >= 0 else seen
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value)


def plain_kernel_with_gqa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """varlen_attn of torch 2.12 and later."""
    assert enable_gqa or query.shape[1] == key.shape[1]
    key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], 1) for part in (key, value))
    return plain_kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


KERNELS = [kernel for one in (plain_kernel, plain_kernel_with_gqa) if (kernel := varlen.kernel_of(one))]
BOTH = pytest.mark.parametrize("kernel", KERNELS, ids=["torch 2.11", "torch 2.12"])


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def test_the_kernel_of_the_installed_torch_takes_what_it_is_handed() -> None:
    found = varlen.find_kernel()
    assert found is not None
    assert found.takes_gqa
    inspect.signature(found.function).bind(*range(7), scale=1.0, window_size=(-1, 0), enable_gqa=True)


def test_a_kernel_without_windows_is_not_taken() -> None:
    def oldest(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None): ...

    assert varlen.kernel_of(oldest) is None


@BOTH
@pytest.mark.parametrize("window", [None, 2, 4, 200])
@pytest.mark.parametrize("heads", [(4, 4, 8), (4, 2, 8), (6, 1, 16)])
def test_output_and_gradients_are_those_of_one_attention_per_row(
    kernel: varlen.Kernel, heads: Heads, window: int | None
) -> None:
    shape = dict(zip(("heads", "key_heads", "width"), heads, strict=True))
    apart = varlen.difference(
        kernel, packed_attention, **shape, window=window, device=torch.device("cpu"), dtype=torch.float32
    )
    assert apart < 1e-5


@BOTH
def test_a_kernel_that_mixes_rows_or_looks_ahead_is_found_out(kernel: varlen.Kernel) -> None:
    def mixes(query: Any, key: Any, value: Any, bounds: Any, *rest: Any, **named: Any) -> torch.Tensor:
        named.pop("enable_gqa", None)
        whole = torch.tensor([0, len(query)], dtype=torch.int32)
        return plain_kernel(query, key, value, whole, whole, len(query), len(query), **named)

    def looks_ahead(*arguments: Any, **named: Any) -> torch.Tensor:
        made: torch.Tensor = kernel.function(*arguments, **named | {"window_size": (-1, -1)})
        return made

    for wrong in (mixes, looks_ahead):
        apart = varlen.difference(
            varlen.Kernel(wrong, kernel.takes_gqa), packed_attention,
            heads=2, key_heads=2, width=8, window=None, device=torch.device("cpu"), dtype=torch.float32,
        )  # fmt: skip
        assert apart > varlen.CLOSE


@BOTH
def test_a_scale_of_the_backbone_is_kept(kernel: varlen.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_kernel", kernel)
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 9, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    told = {"scaling": 0.7, "cu_seq_lens_q": torch.tensor([0, 6, 9]), "max_length_q": 6}
    found, _ = attention_at_once(torch.nn.Identity(), query, key, value, None, **told)
    expected, _ = packed_attention(torch.nn.Identity(), query, key, value, None, **told)
    assert found.shape == (1, 9, 4, 8)
    assert torch.allclose(found, expected, atol=1e-6)


def test_autocast_decides_the_number_type_that_the_kernel_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def notes(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        seen.append({query.dtype, key.dtype, value.dtype})
        return torch.zeros_like(query)

    monkeypatch.setattr(attention, "_kernel", varlen.Kernel(notes, takes_gqa=True))
    parts = [torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8).bfloat16()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attention_at_once(torch.nn.Identity(), *parts, None, cu_seq_lens_q=torch.tensor([0, 4]), max_length_q=4)
    assert seen == [{torch.bfloat16}]


@pytest.mark.parametrize("width", [7, 264], ids=["not a multiple of 8", "too wide"])
def test_heads_that_the_kernel_cannot_take_go_row_by_row(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **named: Any) -> torch.Tensor:
        raise AssertionError("called")

    monkeypatch.setattr(attention, "_kernel", varlen.Kernel(never, takes_gqa=True))
    parts = [torch.randn(1, 2, 5, width) for _ in range(3)]
    told = {"cu_seq_lens_q": torch.tensor([0, 3, 5]), "max_length_q": 3}
    found, _ = attention_at_once(torch.nn.Identity(), *parts, None, **told)
    assert torch.equal(found, packed_attention(torch.nn.Identity(), *parts, None, **told)[0])
    assert varlen.refused(parts[0], parts[2], 0.1) == "the kernel has no dropout"


def test_on_a_cpu_and_in_32_bits_rows_go_one_by_one_with_the_reason(backbone: Path) -> None:
    model = model_of(config_of(backbone))
    choice = choose_packed_attention(model, torch.device("cpu"), torch.bfloat16)
    assert (choice.value, choice.reason) == (PACKED, "one attention per row, since the kernel needs a GPU")
    assert (
        varlen.refused_device(torch.device("cuda"), torch.float32) == "the kernel computes in 16 bits, not in float32"
    )


@BOTH
def test_a_model_gives_the_same_logits_and_gradients_by_the_kernel(
    backbone: Path, kernel: varlen.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def counts(*arguments: Any, **named: Any) -> torch.Tensor:
        called.append(named)
        made: torch.Tensor = kernel.function(*arguments, **named)
        return made

    monkeypatch.setattr(attention, "_kernel", varlen.Kernel(counts, kernel.takes_gqa))
    config = config_of(backbone, **{"training.lora_dropout": 0.0})
    _, samples = rows_of(config)
    model, found = model_of(config), []
    inputs = packed(samples, [1.0] * len(samples)).inputs
    for by in (PACKED, PACKED_AT_ONCE):
        model.zero_grad()
        with attending_apart(model, by):
            logits = model(**inputs, use_cache=False).logits
        logits.square().mean().backward()
        found.append((logits.detach(), torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad])))
    assert len(called) == model.config.num_hidden_layers
    assert torch.allclose(found[0][0], found[1][0], atol=1e-4)
    assert float((found[0][1] - found[1][1]).norm() / found[0][1].norm()) < 1e-4


@pytest.mark.parametrize("fault", ["raises", "wrong", "none"])
def test_the_kernel_is_tried_before_it_is_trusted(backbone: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*arguments: Any, **named: Any) -> torch.Tensor:
        if fault == "raises":
            raise RuntimeError("no kernel image is available")
        made: torch.Tensor = plain_kernel(*arguments, **named)
        return made * 1.5 if fault == "wrong" else made

    monkeypatch.setattr(varlen, "refused_device", lambda device, dtype: None)
    kernel = varlen.Kernel(faulty, takes_gqa=False)
    choice = choose_packed_attention(model_of(config_of(backbone)), torch.device("cpu"), torch.float32, kernel)
    expected = {
        "raises": (PACKED, "no kernel image"),
        "wrong": (PACKED, "differs"),
        "none": (PACKED_AT_ONCE, "one call"),
    }
    assert choice.value == expected[fault][0]
    assert expected[fault][1] in choice.reason
