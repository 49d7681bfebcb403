"""What every optimiser must do: step downhill, obey rates and decay, and go on from its saved state bit by bit."""

import io
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

RATE, DECAY = 0.02, 0.1
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


def second_step(name: str, weight: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Where a weight stands after two steps along these gradients, by the plain formula: rate RATE, decay DECAY."""
    average, square, moved = (torch.zeros_like(weight) for _ in range(3))
    rows, columns = torch.zeros(len(weight), 1), torch.zeros(1, weight.shape[1])
    for number, gradient in enumerate((first, second), 1):
        before = weight
        if name in ("Adam", "SGD", "RMSprop", "Adadelta"):
            gradient = gradient + DECAY * weight
        else:
            weight = weight * (1 - RATE * DECAY)
        if name in ("Adam", "AdamW", "AdamW8bit", "PagedAdamW8bit"):
            average = 0.9 * average + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            unbiased = (square / (1 - 0.999**number)).sqrt() + 1e-8
            weight = weight - RATE * average / (1 - 0.9**number) / unbiased
        elif name == "SGD":
            average = gradient if number == 1 else 0.9 * average + gradient
            weight = weight - RATE * (gradient + 0.9 * average)
        elif name == "RMSprop":
            square = 0.99 * square + 0.01 * gradient**2
            average = 0.9 * average + gradient / (square.sqrt() + 1e-8)
            weight = weight - RATE * average
        elif name == "Adadelta":
            square = 0.9 * square + 0.1 * gradient**2
            step = ((moved + 1e-6) / (square + 1e-6)).sqrt() * gradient
            moved = 0.9 * moved + 0.1 * step**2
            weight = weight - RATE * step
        elif name == "Lion":
            weight = weight - RATE * (0.9 * average + 0.1 * gradient).sign()
            average = 0.99 * average + 0.01 * gradient
        elif name == "Adafactor":
            share = 1 - number**-0.8
            rows = share * rows + (1 - share) * (gradient**2).mean(1, keepdim=True)
            columns = share * columns + (1 - share) * (gradient**2).mean(0, keepdim=True)
            step = gradient / (rows @ columns / rows.mean()).sqrt()
            step = step / max(1.0, float(step.square().mean().sqrt()))
            weight = weight - min(RATE, number**-0.5) * float(before.square().mean().sqrt()) * step
    return weight


@pytest.mark.parametrize("entry", [one for one in OPTIMIZERS if one.name != "Muon"], ids=lambda entry: entry.name)
def test_takes_the_steps_of_its_formula(entry: Optimizer) -> None:
    model = torch.nn.Linear(96, 64, bias=False)
    drawn = torch.Generator().manual_seed(0)
    weight, first, second = (torch.randn(64, 96, generator=drawn) for _ in range(3))
    model.weight.data = weight.clone()
    optimizer = make_optimizer(model, settings(entry, learning_rate=RATE, weight_decay=DECAY))
    for gradient in (first, second):
        model.weight.grad = gradient.clone()
        optimizer.step()
    expected = second_step(entry.name, weight, first, second)
    rounds = "8bit" in entry.name
    moved, wanted = model.weight.detach() - weight, expected - weight
    assert float((moved - wanted).norm() / wanted.norm()) < (0.1 if rounds else 1e-4)
    state = [value for value in optimizer.state[model.weight].values() if isinstance(value, torch.Tensor)]
    assert any(value.dtype is torch.uint8 for value in state) == rounds
    assert getattr(optimizer, "is_paged", False) == entry.name.startswith("Paged")


def test_muon_steps_a_matrix_alike_in_all_directions_at_the_size_of_adamw() -> None:
    model = torch.nn.Linear(96, 64, bias=False)
    before = model.weight.detach().clone()
    muon = next(one for one in OPTIMIZERS if one.name == "Muon")
    optimizer = make_optimizer(model, settings(muon, learning_rate=RATE, weight_decay=DECAY))
    model.weight.grad = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    directions = torch.linalg.svd(model.weight.grad, full_matrices=False)
    optimizer.step()
    step = (before * (1 - RATE * DECAY) - model.weight.detach()) / RATE
    sizes = (directions.U.T @ step @ directions.Vh.T).diagonal() / (0.2 * 96**0.5)
    assert 0.6 < float(sizes.min()) <= float(sizes.max()) < 1.3


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
