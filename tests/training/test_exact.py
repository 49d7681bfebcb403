"""One optimiser step gives the same loss and gradient however its rows are laid out, and it is that of the formula."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.catalog.losses import LOSSES
from llm_studio.errors import UserError
from llm_studio.modeling.attention import attending_apart, choose_packing, packed_difference
from llm_studio.modeling.loading import quiet
from llm_studio.tokens.sample import Sample
from llm_studio.training import batches
from llm_studio.training.batches import Layout, filled, micro_batches, packed, words_about_tokens
from llm_studio.training.losses import token_weights
from llm_studio.training.order import RowOrder
from llm_studio.training.partition import partition
from tests.support.tiny import config_of, model_of, plain_loss, rows_of, trainer_of
from tests.support.tuned import make_backbone

LOSS_NAMES = [loss.name for loss in LOSSES]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])


def step_gradient(
    backbone: Path, folder: Path, samples: Sequence[Sample], loss: str, batch: int, packs: bool
) -> tuple[float, torch.Tensor]:
    changes = {"training.batch_size": batch, "training.lora_dropout": 0.0, "training.loss_function": loss}
    trainer = trainer_of(config_of(backbone, **changes), folder, packed=packs)
    with attending_apart(trainer.model) if packs else torch.enable_grad():
        told = trainer._gradient(trainer.feed.made_of(samples, 0))
    return float(told), gradient(trainer.model)


@pytest.mark.parametrize("loss", LOSS_NAMES)
@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 12])
def test_micro_batches_and_packing_change_neither_the_loss_nor_the_gradient_of_a_step(
    backbone: Path, tmp_path: Path, loss: str, packs: bool, batch: int
) -> None:
    config = config_of(backbone, **{"training.lora_dropout": 0.0})
    _, samples = rows_of(config)
    model = model_of(config)
    expected = plain_loss(model, samples, per_row=loss == "SampleAveragedCrossEntropy")
    expected.backward()
    expected = expected.detach()
    told, found = step_gradient(backbone, tmp_path, samples, loss, batch, packs)
    assert told == pytest.approx(float(expected), abs=1e-5)
    assert float((found - gradient(model)).norm() / gradient(model).norm()) <= 1e-4


def test_a_cpu_takes_few_tokens_at_once_and_norms_in_one_pass_and_the_step_is_still_the_formulas(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CPU_TOKENS", 60)
    monkeypatch.setattr(batches, "CPU_ELEMENTS", 0)
    config = config_of(backbone, **{"training.batch_size": 12, "training.lora_dropout": 0.0})
    _, samples = rows_of(config)
    model = model_of(config)
    expected = plain_loss(model, samples)
    expected.backward()
    trainer = trainer_of(config, tmp_path, packed=True)
    lengths = [len(sample.input_ids) for sample in samples]
    assert "about 60 tokens at a time" in (words_about_tokens(trainer.feed.layout, lengths) or "")
    assert words_about_tokens(replace(trainer.feed.layout, most_rows=2), lengths) is None
    assert words_about_tokens(replace(trainer.feed.layout, packed=False), lengths) is None
    step = trainer.feed.made_of(samples, 0)
    assert len(step.batches) == -(-step.tokens // 60) > 1
    with trainer.forward:
        told = trainer._gradient(step)
        norms = [one for one in trainer.model.modules() if type(one).__name__.endswith("RMSNorm")]
        assert norms and all("forward" in vars(one) for one in norms)
    assert float(told) == pytest.approx(float(expected.detach()), abs=1e-5)
    assert float((gradient(trainer.model) - gradient(model)).norm() / gradient(model).norm()) <= 1e-4


def test_the_two_averages_are_told_apart_by_rows_of_different_length() -> None:
    assert token_weights("TokenAveragedCrossEntropy", [1, 3, 0]) == [0.25, 0.25, 0.25]
    assert token_weights("SampleAveragedCrossEntropy", [1, 3, 0]) == [0.5, 1 / 6, 0.0]
    assert token_weights("TokenAveragedCrossEntropy", [0]) == [0.0]


def test_packed_rows_do_not_see_each_other(backbone: Path) -> None:
    config = config_of(backbone)
    _, samples = rows_of(config)
    model = model_of(config).eval()
    other = Sample(9, tuple(reversed(samples[1].input_ids)), samples[1].labels, samples[1].answer_labels)

    def logits(rows: Sequence[Sample]) -> torch.Tensor:
        with torch.no_grad(), attending_apart(model):
            found: torch.Tensor = model(**packed(rows, [1.0] * len(rows)).inputs, use_cache=False).logits[0]
        return found

    before = logits([samples[0], samples[1], samples[2]])
    after = logits([samples[0], other, samples[2]])
    first, second = len(samples[0].input_ids), len(samples[1].input_ids)
    assert torch.equal(before[:first], after[:first])
    assert torch.equal(before[first + second :], after[first + second :])
    assert not torch.equal(before[first : first + second], after[first : first + second])


def test_a_backbone_that_mixes_packed_rows_is_found_out_and_padded(backbone: Path) -> None:
    model = model_of(config_of(backbone))
    difference = packed_difference(model)
    assert difference is not None and difference < 1e-5
    assert choose_packing("auto", model).value == "packed"
    assert choose_packing("never", model).value == "padded"
    mixes = (
        model.get_base_model()
        .model.layers[0]
        .register_forward_hook(lambda module, inputs, output: output + output.mean(1, keepdim=True))
    )
    choice = choose_packing("auto", model)
    mixes.remove()
    assert choice.value == "padded"
    assert "differ" in choice.reason


def test_a_backbone_with_its_own_kind_of_attention_is_padded(backbone: Path) -> None:
    model = model_of(config_of(backbone))
    attention = model.get_base_model().model.layers[0].self_attn
    plain = attention.forward
    attention.forward = lambda *arguments, **named: plain(*arguments, **named, softcap=30.0)
    choice = choose_packing("auto", model)
    assert choice.value == "padded"
    assert "kept apart" in choice.reason
    with pytest.raises(UserError) as caught:
        choose_packing("always", model)
    assert caught.value.where == "training.packing"
    attention.forward = plain
    assert choose_packing("always", model).value == "packed"


def test_a_window_of_attention_is_kept_in_packed_rows() -> None:
    from llm_studio.modeling.attention import packed_attention

    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 9, 4) for _ in range(3))
    found, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, sliding_window=2, cu_seq_lens_q=torch.tensor([0, 6, 9])
    )
    place = torch.arange(9)
    row = (place >= 6).long()
    behind = place[:, None] - place[None, :]
    mask = (behind >= 0) & (behind < 2) & (row[:, None] == row[None, :])
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert torch.allclose(found, expected.transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize(("rows", "most", "processes"), [(1, 4, 1), (7, 2, 1), (8, 2, 2), (3, 1, 4), (5, 3, 2)])
def test_every_row_of_a_step_is_in_one_micro_batch_of_one_process(
    packs: bool, rows: int, most: int, processes: int
) -> None:
    lengths = [(row * 37) % 11 + 1 for row in range(rows)]
    shares = partition(lengths, most_rows=most, processes=processes, packed=packs)
    assert len(shares) == processes
    assert len({len(share) for share in shares}) == 1
    assert sorted(row for share in shares for places in share for row in places) == list(range(rows))
    assert all(len(places) <= most for share in shares for places in share)


def test_packed_micro_batches_hold_about_as_many_tokens_each() -> None:
    lengths = [100, 90, 10, 20, 30, 70, 80, 40]
    (share,) = partition(lengths, most_rows=4, packed=True)
    tokens = [sum(lengths[row] for row in places) for places in share]
    assert max(tokens) - min(tokens) <= 20


@pytest.mark.parametrize(("processes", "batches"), [(1, 4), (2, 2)])
def test_packed_micro_batches_hold_so_many_tokens_on_average_at_most(processes: int, batches: int) -> None:
    lengths = [100, 90, 10, 20, 30, 70, 80, 40]
    shares = partition(lengths, most_rows=8, most_tokens=120, processes=processes, packed=True)
    assert [len(share) for share in shares] == [batches] * processes
    assert sorted(row for share in shares for places in share for row in places) == list(range(8))
    assert partition(lengths, most_rows=8, most_tokens=440, packed=True) == partition(lengths, most_rows=8, packed=True)
    assert len(partition([900, 800], most_rows=2, most_tokens=120, packed=True)[0]) == 2
    assert len(partition(lengths, most_rows=8, most_tokens=120, packed=False)[0]) == 1


def test_padded_micro_batches_hold_rows_of_like_length() -> None:
    lengths = [100, 10, 90, 20, 80, 30]
    (share,) = partition(lengths, most_rows=3, packed=False)
    assert [sorted(lengths[row] for row in places) for places in share] == [[80, 90, 100], [10, 20, 30]]


def test_a_process_without_rows_reads_one_that_weighs_nothing() -> None:
    sample = Sample(0, (5, 6), (-100, 6), (-100, 6))
    batches = [
        micro_batches([sample], Layout(True, 1, 0, "TokenAveragedCrossEntropy", 2, rank))[0] for rank in range(2)
    ]
    assert [batch.weights.sum().item() for batch in batches] == [1.0, 0.0]


def test_each_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    order = RowOrder(rows=10, rows_per_step=4, seed=3)
    epochs = [[row for step in range(3) for row in order.of(epoch * 3 + step)] for epoch in range(2)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [len(order.of(step)) for step in range(3)] == [4, 4, 2]
    assert RowOrder(10, 4, 3).of(5) == order.of(5)
    assert RowOrder(10, 4, 4).of(5) != order.of(5)


def test_padding_is_neither_read_nor_learned() -> None:
    short = Sample(0, (5, 6), (-100, 6), (-100, 6))
    long = Sample(1, (7, 8, 9), (-100, 8, 9), (-100, 8, 9))
    (batch,) = micro_batches([short, long], Layout(False, 2, 3, "TokenAveragedCrossEntropy"))
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 9], [5, 6, 3]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.keep.tolist() == [0, 1]
    assert batch.targets.tolist() == [[8, 9], [6, 0]]
    assert batch.weights.flatten().tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


def test_packed_batches_have_few_lengths_and_hardly_any_padding() -> None:
    lengths = {filled(tokens) for tokens in range(500, 2000)}
    assert len(lengths) <= 34
    assert all(tokens <= filled(tokens) <= tokens * 17 / 16 for tokens in range(1, 3000))
