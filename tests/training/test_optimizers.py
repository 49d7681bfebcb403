"""Which trained weights get which learning rate and decay."""

from pathlib import Path

import pytest

from llm_studio.errors import UserError
from llm_studio.training.optimizers import make_optimizer, parameter_groups
from tests.support.tiny import config_of, model_of, run, trainer_of
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def test_norms_and_biases_are_not_decayed(backbone: Path) -> None:
    config = config_of(backbone, **{"training.lora": False, "training.weight_decay": 0.1})
    model = model_of(config)
    decayed, plain, tables = parameter_groups(model, config.training)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert [group["weight_decay"] for group in (decayed, plain, tables)] == [0.1, 0.0, 0.1]
    assert {names[id(weight)] for weight in tables["params"]} == {"model.embed_tokens.weight"}
    assert all("norm" in names[id(weight)] for weight in plain["params"])
    assert not any("norm" in names[id(weight)] for weight in decayed["params"])


def test_named_layers_get_their_own_rate_and_the_same_schedule(backbone: Path, tmp_path: Path) -> None:
    changes = {"training.differential_learning_rate_layers": ("lora_B",), "training.differential_learning_rate": 1e-4}
    config = config_of(backbone, **changes)
    model = model_of(config)
    groups = parameter_groups(model, config.training)
    names = {id(weight): name for name, weight in model.named_parameters()}
    own = {group["lr"]: {names[id(weight)].split(".")[-3] for weight in group["params"]} for group in groups}
    assert own == {5e-3: {"lora_A"}, 1e-4: {"lora_B"}}
    trainer = trainer_of(config, tmp_path, model=model)
    trainer.run()
    assert [group["lr"] / peak for group, peak in zip(trainer.optimizer.param_groups, (5e-3, 1e-4), strict=True)] == [
        pytest.approx(trainer._updates._factor(trainer.plan.steps - 1))
    ] * 2


def test_muon_steps_matrices_and_leaves_norms_and_embeddings_to_adamw(backbone: Path) -> None:
    config = config_of(backbone, **{"training.lora": False, "training.optimizer": "Muon"})
    model = model_of(config)
    names = {id(weight): name for name, weight in model.named_parameters()}
    matrices = {
        names[id(weight)]: group["matrices"]
        for group in make_optimizer(model, config.training).param_groups
        for weight in group["params"]
    }
    assert matrices["model.layers.0.mlp.up_proj.weight"]
    assert not matrices["model.embed_tokens.weight"]
    assert not matrices["model.norm.weight"]


def test_a_layer_that_is_not_trained_is_named_with_the_nearest(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.differential_learning_rate_layers": ("lora_C",)})
    with pytest.raises(UserError) as caught:
        run(config, tmp_path)
    assert "lora_B" in caught.value.fix
    assert caught.value.where == "training.differential_learning_rate_layers"
