"""The training loop on a tiny model: same seed same losses, every number type learns, it tells what it does."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import make_config
from llm_studio.errors import UserError
from llm_studio.modeling.loading import quiet
from llm_studio.training.events import EvaluationDue, Event
from llm_studio.training.plan import make_plan
from tests.support.tiny import ROWS, config_of, model_of, rows_of, run, trainer_of
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(backbone: Path, tmp_path: Path) -> None:
    first = [step.loss for step in run(config_of(backbone), tmp_path / "a")[0]]
    again = [step.loss for step in run(config_of(backbone), tmp_path / "b")[0]]
    other = [step.loss for step in run(config_of(backbone, **{"environment.seed": 7}), tmp_path / "c")[0]]
    assert first == again
    assert first != other
    assert first[-1] < first[0]


def test_the_seed_alone_decides_which_rows_come_first_and_what_is_dropped(backbone: Path, tmp_path: Path) -> None:
    def seen(seed: int) -> tuple[list[list[int]], list[float]]:
        config = config_of(backbone, **{"training.lora_dropout": 0.5})
        model, rows = model_of(config), rows_of(config)[1]
        trainer = trainer_of(config.with_changes({"environment.seed": seed}), tmp_path, model=model)
        order = [[row.row for row in trainer.feed.rows_of(step)] for step in range(ROWS // 2)]
        return order, [float(trainer.step_on(rows)) for _ in range(3)]

    (order, losses), (other_order, other_losses) = seen(1), seen(2)
    assert (order, losses) == seen(1)
    assert order != other_order
    assert losses[0] == other_losses[0], "an adapter begins without effect, dropped or not"
    assert losses[1] != other_losses[1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
def test_lora_learns_on_a_backbone_of_every_number_type(backbone: Path, tmp_path: Path, dtype: str) -> None:
    steps, model, _ = run(config_of(backbone, **{"architecture.backbone_dtype": dtype, "training.epochs": 4}), tmp_path)
    assert steps[-1].loss < steps[0].loss - 0.2
    assert all("lora" in name for name, weight in model.named_parameters() if weight.requires_grad)


def scored(config: Any) -> Any:
    model = model_of(config)
    with torch.inference_mode():
        model.eval()(input_ids=torch.tensor([[5, 6, 7]]))
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "int4"])
def test_scoring_the_backbone_before_changes_nothing_of_the_training(
    backbone: Path, tmp_path: Path, dtype: str
) -> None:
    config = config_of(backbone, **{"architecture.backbone_dtype": dtype, "training.epochs": 1})
    plain = [step.loss for step in run(config, tmp_path / "a")[0]]
    after = [step.loss for step in run(config, tmp_path / "b", model=scored(config))[0]]
    assert after == pytest.approx(plain, abs=1e-6)


def test_full_fine_tuning_trains_all_weights(backbone: Path, tmp_path: Path) -> None:
    steps, model, _ = run(config_of(backbone, **{"training.lora": False}), tmp_path)
    assert steps[-1].loss < steps[0].loss - 0.2
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("optimizer", ["AdamW", "AdamW8bit", "Adam", "SGD", "RMSprop", "Adadelta"])
def test_every_optimiser_takes_steps(backbone: Path, tmp_path: Path, optimizer: str) -> None:
    changes = {"training.optimizer": optimizer, "training.epochs": 1, "training.learning_rate": 1e-3}
    steps, model, _ = run(config_of(backbone, **changes), tmp_path)
    moved = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    assert len(steps) == ROWS // 2
    assert any(bool(weight.abs().sum() > 0) for weight in moved)


@pytest.mark.parametrize(
    ("changes", "packed"),
    [
        ({}, True),
        ({}, False),
        ({"training.lora": False}, True),
        ({"architecture.backbone_dtype": "int8"}, False),
        ({"architecture.backbone_dtype": "int4"}, True),
    ],
    ids=["packed", "padded", "all weights", "int8", "int4"],
)
def test_gradient_checkpointing_computes_each_layer_once_more_and_the_same_steps(
    backbone: Path, tmp_path: Path, changes: dict[str, Any], packed: bool
) -> None:
    def trained(checkpointing: bool) -> tuple[int, list[tuple[float, float]]]:
        seen: list[int] = []
        config = config_of(backbone, **changes, **{"architecture.gradient_checkpointing": checkpointing})
        model = model_of(config)
        inner = model.get_base_model() if config.training.lora else model
        for layer in inner.model.layers:
            layer.mlp.register_forward_pre_hook(lambda *_: seen.append(1))
        steps, _, _ = run(config, tmp_path / f"{checkpointing}", model=model, packed=packed, stop_after=3)
        return len(seen), [(step.loss, step.gradient_norm) for step in steps]

    (once, plain), (twice, again) = trained(False), trained(True)
    assert twice - once == 3 * 2, "once more for each of the steps and layers"
    for one, other in zip(plain, again, strict=True):
        assert other == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize("setting", ["training.use_dora", "training.use_rslora"])
def test_variants_of_lora_learn(backbone: Path, tmp_path: Path, setting: str) -> None:
    steps, _, _ = run(config_of(backbone, **{setting: True}), tmp_path)
    assert steps[-1].loss < steps[0].loss


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_prepared_in_so_many_processes_as_are_set_with_the_same_losses(
    backbone: Path, tmp_path: Path, workers: int
) -> None:
    once = config_of(backbone, **{"training.epochs": 1, "training.evaluation_epochs": 1})
    config = once.with_changes({"environment.number_of_workers": workers})
    pids = tmp_path / "pids"
    pids.mkdir()

    def prepare(rows: list[Any], numbers: list[int], step: int) -> list[Any]:
        (pids / str(os.getpid())).touch()
        return rows

    found = [step.loss for step in run(config, tmp_path / "a", augment=prepare)[0]]
    prepared_in = {int(file.name) for file in pids.iterdir()}
    assert (len(prepared_in), os.getpid() in prepared_in) == ((workers, False) if workers else (1, True))
    assert found == [step.loss for step in run(once, tmp_path / "b")[0]]


def test_noise_on_the_embeddings_changes_the_losses(backbone: Path, tmp_path: Path) -> None:
    quiet_steps = run(config_of(backbone), tmp_path / "a")[0]
    noisy = run(config_of(backbone, **{"augmentation.neftune_noise_alpha": 10.0}), tmp_path / "b")[0]
    assert [step.loss for step in quiet_steps] != [step.loss for step in noisy]


def test_a_target_module_that_does_not_exist_is_named_with_the_nearest(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(config_of(backbone, **{"training.lora_target_modules": "q_pro"}), tmp_path)
    assert "q_proj" in caught.value.fix


def test_the_model_is_scored_as_it_will_be_loaded_again(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.epochs": 1})
    model = model_of(config)
    _, samples = rows_of(config)
    ids = torch.tensor([samples[0].input_ids])
    seen: list[torch.Tensor] = []

    def listen(event: Event) -> None:
        if isinstance(event, EvaluationDue) and event.last:
            with torch.no_grad():
                seen.append(model.eval()(input_ids=ids).logits)

    run(config, tmp_path, model=model, listener=listen, autocast=torch.bfloat16, packed=True)
    with torch.no_grad():
        assert torch.equal(seen[0], model.eval()(input_ids=ids).logits)
    assert model.config._attn_implementation == "sdpa"


def test_an_evaluation_may_end_the_training_early(backbone: Path, tmp_path: Path) -> None:
    due: list[EvaluationDue] = []

    def listen(event: Event) -> bool | None:
        if isinstance(event, EvaluationDue):
            due.append(event)
            return True
        return None

    steps, _, finished = run(config_of(backbone, **{"training.evaluation_epochs": 0.5}), tmp_path, listener=listen)
    assert finished
    assert [event.step for event in due] == [steps[-1].step] == [3]


def test_charts_get_the_mean_of_the_steps_between_two_points_and_the_last_step(backbone: Path, tmp_path: Path) -> None:
    each, _, _ = run(config_of(backbone, **{"training.lora_dropout": 0.0}), tmp_path / "a")
    some, _, _ = run(
        config_of(backbone, **{"training.lora_dropout": 0.0, "logging.log_every_steps": 5}), tmp_path / "b"
    )
    assert [step.step for step in some] == [1, 5, 10, 12]
    assert some[1].loss == pytest.approx(sum(step.loss for step in each[1:5]) / 4)
    assert some[3].loss == pytest.approx(sum(step.loss for step in each[10:]) / 2)


def test_a_step_is_told_before_the_evaluation_behind_it(backbone: Path, tmp_path: Path) -> None:
    order: list[tuple[str, int]] = []
    config = config_of(backbone, **{"training.epochs": 1, "training.evaluation_epochs": 0.5})
    run(config, tmp_path, listener=lambda event: order.append((type(event).__name__, getattr(event, "step", 0))))
    told = [entry for entry in order if entry[1] in (3, 6)]
    assert told == [
        ("StepDone", 3),
        ("CheckpointSaved", 3),
        ("EvaluationDue", 3),
        ("StepDone", 6),
        ("CheckpointSaved", 6),
        ("EvaluationDue", 6),
    ]


def test_evaluations_come_where_the_plan_has_them_and_always_at_the_end(backbone: Path, tmp_path: Path) -> None:
    due: list[EvaluationDue] = []
    config = config_of(backbone, **{"training.evaluation_epochs": 0.6})
    run(config, tmp_path, listener=lambda event: due.append(event) if isinstance(event, EvaluationDue) else None)
    assert [event.step for event in due] == sorted(make_plan(config, ROWS).evaluations)
    assert due[-1].last
    assert due[-1].step == 12
    assert not any(event.last for event in due[:-1])


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "steps"), [(12, 2, 1, 6), (12, 5, 1, 3), (12, 5, 2, 2), (1, 8, 4, 1)]
)
def test_the_last_partial_batch_and_accumulation_count_as_steps(
    rows: int, batch: int, accumulation: int, steps: int
) -> None:
    changes = {"training.batch_size": batch, "training.grad_accumulation": accumulation, "training.epochs": 3}
    assert make_plan(make_config(changes), rows).steps == 3 * steps
