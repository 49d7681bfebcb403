"""The loss in chunks is the loss of all logits at once, for every kind of head; backbones that change it are found."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from llm_studio.modeling.loading import quiet
from llm_studio.training import output_head
from llm_studio.training.batches import Layout, MicroBatch, micro_batches
from llm_studio.training.forward import Forward
from llm_studio.training.output_head import LOGIT_BYTES, OutputHead, find_head
from tests.support.tiny import config_of, model_of, rows_of, run
from tests.support.tuned import make_backbone

CPU = torch.device("cpu")
HEADS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "trained with all weights": {"training.lora": False},
    "with an adapter": {"training.lora_target_modules": "q_proj,lm_head"},
    "in bfloat16": {"architecture.backbone_dtype": "bfloat16"},
    "in 4 bits": {"architecture.backbone_dtype": "int4"},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def small(monkeypatch: pytest.MonkeyPatch, vocabulary: int, tokens: int) -> None:
    """Memory for the logits of so many tokens."""
    monkeypatch.setattr(output_head, "CPU_BYTES", LOGIT_BYTES * vocabulary * tokens)
    monkeypatch.setattr(output_head, "CPU_TOKENS", 1)


def loss_and_gradient(model: Any, batch: MicroBatch, *, packed: bool, autocast: Any = None) -> tuple[Any, Any]:
    model.zero_grad()
    torch.manual_seed(0)
    with Forward(model, device=CPU, autocast=autocast, packed=packed) as forward:
        loss = forward.loss(batch)
    (loss * 3).backward()
    return loss.detach(), torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad])


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("head", HEADS)
def test_loss_and_gradient_are_those_of_all_logits_at_once(
    backbone: Path, head: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(backbone, **{"training.lora_dropout": 0.0} | HEADS[head])
    model = model_of(config).train()
    if "adapter" in head:
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    _, samples = rows_of(config)
    (batch,) = micro_batches(samples, Layout(packed, 99, 0, "SampleAveragedCrossEntropy"))
    expected, gradient = loss_and_gradient(model, batch, packed=packed)
    small(monkeypatch, model.get_input_embeddings().num_embeddings, 5)
    asked: list[int] = []
    head_module = model.get_output_embeddings()
    head_module.register_forward_hook(lambda module, inputs, output: asked.append(output.shape[-2]))
    found, ours = loss_and_gradient(model, batch, packed=packed)
    close = 1e-2 if "bfloat16" in head else 1e-4
    assert float(found) == pytest.approx(float(expected), abs=1e-5 if close == 1e-4 else 1e-2)
    assert float((ours - gradient).norm() / gradient.norm()) <= close
    learned = asked[-math.ceil(batch.targets.numel() / 5) :]
    assert max(learned) <= 5, "never more than five tokens' logits at once"
    assert max(learned) - min(learned) <= len(learned), "and about as many each time"
    assert sum(learned) == batch.targets.numel()


def test_under_autocast_it_stays_as_close_as_rounding_allows(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(backbone, **{"training.lora": False})
    model = model_of(config).train()
    _, samples = rows_of(config)
    (batch,) = micro_batches(samples, Layout(True, 99, 0, "TokenAveragedCrossEntropy"))
    expected, gradient = loss_and_gradient(model, batch, packed=True, autocast=torch.bfloat16)
    small(monkeypatch, model.get_input_embeddings().num_embeddings, 7)
    found, ours = loss_and_gradient(model, batch, packed=True, autocast=torch.bfloat16)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)
    assert float((ours - gradient).norm() / gradient.norm()) <= 2e-2


def test_a_token_among_millions_keeps_its_gradient_in_float16() -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 20, bias=False).half()
    hidden = torch.randn(1, 6, 8).half().requires_grad_()
    targets, weights = torch.randint(0, 20, (1, 6)), torch.full((1, 6), 1e-7)
    loss = OutputHead(head.requires_grad_(False), 20, LOGIT_BYTES * 20 * 2).nats(hidden, targets, weights)
    (loss * 65536.0).backward()
    exact = hidden.detach().float().requires_grad_()
    logits = torch.nn.functional.linear(exact, head.weight.float())
    nats = torch.nn.functional.cross_entropy(logits[0], targets[0], reduction="sum") * 1e-7
    (nats * 65536.0).backward()
    assert float((hidden.grad.float() - exact.grad).norm() / exact.grad.norm()) < 1e-2


def test_a_whole_training_in_chunks_gives_the_same_losses(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(backbone, **{"training.lora_dropout": 0.0})
    plain = [step.loss for step in run(config, tmp_path / "a", packed=True)[0]]
    small(monkeypatch, model_of(config).get_input_embeddings().num_embeddings, 3)
    chunked = [step.loss for step in run(config, tmp_path / "b", packed=True)[0]]
    assert chunked == pytest.approx(plain, abs=1e-5)


SHAPE = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        Gemma2ForCausalLM(Gemma2Config(**SHAPE, final_logit_softcapping=30.0)),
        CohereForCausalLM(CohereConfig(**SHAPE, logit_scale=0.0625)),
    ],
    ids=["caps its logits", "scales its logits"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_backbone_that_changes_its_logits_keeps_them_all(model: Any, dtype: torch.dtype) -> None:
    head, why = find_head(model.to(dtype), CPU)
    assert head is None
    assert "changes" in why


def test_the_model_is_left_as_it_was(backbone: Path) -> None:
    model = model_of(config_of(backbone)).train()
    module = model.get_output_embeddings()
    before = dict(vars(module))
    head, why = find_head(model, CPU)
    assert head is not None and f"{head.most_tokens:,} tokens" in why
    assert vars(module) == before
    assert model.training
    assert replace(head, limit_bytes=1).most_tokens == 1


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process, as torch wants it to wrap a model."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_a_model_wrapped_for_data_parallel_training_gets_the_same_gradient(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(config_of(backbone, **{"training.lora": False})).train()
    _, samples = rows_of(config_of(backbone))
    (batch,) = micro_batches(samples, Layout(True, 99, 0, "TokenAveragedCrossEntropy"))
    _, expected = loss_and_gradient(model, batch, packed=True)
    small(monkeypatch, model.get_input_embeddings().num_embeddings, 5)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    forward = Forward(model, device=CPU, autocast=None, packed=True, called=wrapped)
    for _ in range(2):  # the second forward fails when the first backward has not reached every weight
        wrapped.zero_grad()
        with forward:
            (forward.loss(batch) * 3).backward()
    found = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    assert float((found - expected).norm() / expected.norm()) <= 1e-4


@pytest.mark.usefixtures("alone")
def test_a_model_in_parts_on_several_devices_keeps_all_logits(backbone: Path) -> None:
    model = model_of(config_of(backbone, **{"training.lora": False}))
    torch.distributed.fsdp.fully_shard(model, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
    assert find_head(model, CPU) == (None, "since the output head is split over several devices")
