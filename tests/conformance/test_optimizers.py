"""What every optimiser must do: step downhill, obey rates and decay, and go on from its saved state bit by bit."""

import io
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.catalog.optimizers import OPTIMIZERS, Optimizer
from llm_studio.config import make_config
from llm_studio.config.training import Training
from llm_studio.training.optimizers import make_optimizer
from tests.support.tiny import config_of, run
from tests.support.tuned import make_backbone

RATES = {"Adadelta": 1.0, "Lion": 1e-3, "SGD": 0.05, "Adafactor": 0.05}


def settings(entry: Optimizer, **changes: Any) -> Training:
    wanted = {"optimizer": entry.name, "learning_rate": RATES.get(entry.name, 5e-3)} | changes
    return make_config({f"training.{name}": value for name, value in wanted.items()}).training


class Layers(torch.nn.Module):
    """Matrices large enough for 8 bits, a norm and biases."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.second = torch.nn.Linear(64, 96), torch.nn.LayerNorm(96), torch.nn.Linear(96, 64)

    def loss(self, step: int) -> torch.Tensor:
        rows = torch.randn(32, 64, generator=torch.Generator().manual_seed(step))
        made = self.second(torch.relu(self.norm(self.first(rows))))
        return (made - rows.flip(1)).square().mean()


def steps(model: Layers, optimizer: torch.optim.Optimizer, first: int, last: int) -> list[float]:
    losses = []
    for step in range(first, last):
        loss = model.loss(step)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_is_the_class_of_the_catalog_with_its_arguments(entry: Optimizer) -> None:
    module, _, name = entry.function.partition(":")
    made = make_optimizer(Layers(), settings(entry))
    assert type(made) is getattr(import_module(module), name)
    assert {argument: made.defaults[argument] for argument in entry.arguments} == dict(entry.arguments)


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_lowers_a_loss_and_stands_still_at_a_rate_of_zero(entry: Optimizer) -> None:
    model = Layers()
    optimizer = make_optimizer(model, settings(entry))
    losses = steps(model, optimizer, 0, 40)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [weight.detach().clone() for weight in model.parameters()]
    steps(model, optimizer, 40, 42)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_weight_decay_shrinks_matrices_and_nothing_else(entry: Optimizer) -> None:
    def after(decay: float) -> dict[str, torch.Tensor]:
        model = Layers()
        optimizer = make_optimizer(model, settings(entry, weight_decay=decay))
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        for _ in range(3):
            optimizer.step()
        return {name: weight.detach() for name, weight in model.named_parameters()}

    plain, decayed = after(0.0), after(0.5)
    for name in plain:
        if name in ("first.weight", "second.weight"):
            assert float(decayed[name].norm()) < float(plain[name].norm())
        else:
            assert torch.equal(plain[name], decayed[name])


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_goes_on_from_its_saved_state_to_the_very_same_numbers(entry: Optimizer) -> None:
    whole = Layers()
    expected = steps(whole, make_optimizer(whole, settings(entry)), 0, 12)
    model = Layers()
    optimizer = make_optimizer(model, settings(entry))
    found = steps(model, optimizer, 0, 7)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer = make_optimizer(model, settings(entry))
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    assert found + steps(model, optimizer, 7, 12) == expected
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_trains_an_adapter(entry: Optimizer, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rate = RATES.get(entry.name, 5e-3)
    changes = {"training.optimizer": entry.name, "training.epochs": 4, "training.learning_rate": rate}
    told, _, _ = run(config_of(make_backbone(tmp_path / "backbone"), **changes), tmp_path / "resume")
    assert sum(step.loss for step in told[-6:]) < sum(step.loss for step in told[:6])
