"""What every optimiser must do: be the one of the catalog, with its arguments, and take a step downhill."""

from importlib import import_module

import pytest
import torch

from llm_studio.catalog.optimizers import OPTIMIZERS, Optimizer
from llm_studio.config import make_config
from llm_studio.training.schedules import make_optimizer


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_is_the_class_of_the_catalog_with_its_arguments(entry: Optimizer) -> None:
    module, _, name = entry.function.partition(":")
    made = make_optimizer(torch.nn.Linear(4, 2), make_config({"training.optimizer": entry.name}).training)
    assert type(made) is getattr(import_module(module), name)
    assert {argument: made.defaults[argument] for argument in entry.arguments} == dict(entry.arguments)


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda entry: entry.name)
def test_lowers_a_simple_loss(entry: Optimizer) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    changes = {"training.optimizer": entry.name, "training.learning_rate": 0.05}
    optimizer = make_optimizer(model, make_config(changes).training)
    rows, losses = torch.randn(64, 4), []
    for _ in range(40):
        loss = (model(rows) - rows.sum(dim=1, keepdim=True)).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
