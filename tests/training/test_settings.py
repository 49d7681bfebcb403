"""Each setting of the training has the effect that its sentence says, seen in steps, rows, rates and weights."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import ExperimentConfig, make_config
from llm_studio.modeling.loading import quiet
from llm_studio.training.events import CheckpointSaved, Event
from llm_studio.training.plan import make_plan
from llm_studio.training.trainer import Trainer
from llm_studio.training.updates import Updates
from tests.support.tiny import ROWS, config_of, model_of, rows_of, run, trainer_of
from tests.support.tuned import make_backbone

PEAK, FLOOR, WARM, STEPS = 4e-3, 0.2, 3, 12


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


SHAPES = {
    "Cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "Linear": lambda done: 1 - done,
    "Constant": lambda done: 1.0,
    "WarmupStableDecay": lambda done: min(1.0, (1 - done) / 0.2),
}


@pytest.mark.parametrize("schedule", SHAPES)
def test_steps_are_taken_at_the_rates_of_the_schedule_its_floor_and_its_warm_up(
    backbone: Path, tmp_path: Path, schedule: str
) -> None:
    changes = {
        "schedule": schedule, "min_learning_rate_ratio": FLOOR, "warmup_epochs": 0.5, "learning_rate": PEAK,
        "optimizer": "SGD", "gradient_clip": 0.0,
    }  # fmt: skip
    config = config_of(backbone, **{f"training.{name}": value for name, value in changes.items()})
    steps, _, _ = run(config, tmp_path)
    rises = [PEAK * (step + 1) / WARM for step in range(WARM)]
    falls = [FLOOR + (1 - FLOOR) * SHAPES[schedule]((step - WARM) / (STEPS - WARM)) for step in range(WARM, STEPS)]
    assert [step.learning_rate for step in steps] == pytest.approx([*rises, *(PEAK * share for share in falls)])


def moved_by(config: ExperimentConfig, folder: Path) -> tuple[float, float]:
    """How far the first step moves the weights, as a gradient (Nesterov takes 1.9 of it), and the gradient's length."""
    trainer = trainer_of(config, folder)
    before = [weight.detach().clone() for weight in trainer._trained.values()]
    _, norm = trainer._take(trainer.feed[0])
    after = trainer._trained.values()
    moved = math.sqrt(sum(float((one - two).square().sum()) for one, two in zip(after, before, strict=True)))
    return moved / (1.9 * trainer._updates.rate), float(norm)


@pytest.mark.parametrize("lora", [True, False])
def test_a_longer_gradient_is_shortened_to_the_limit_and_left_alone_without_one(
    backbone: Path, tmp_path: Path, lora: bool
) -> None:
    plain = {"training.optimizer": "SGD", "training.lora": lora, "training.lora_alpha": 512, "training.lora_r": 16}
    _, norm = moved_by(config_of(backbone, **plain), tmp_path / "a")
    assert norm > 1.0, "else the default could pass for none"
    for clip, expected in ((norm / 3, norm / 3), (2 * norm, norm), (0.0, norm)):
        moved, told = moved_by(config_of(backbone, **plain, **{"training.gradient_clip": clip}), tmp_path / "b")
        assert moved == pytest.approx(expected, rel=1e-3)
        assert told == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [
        (0.5, 2, {3, 6, 9, 12}), (1.0, 2, {6, 12}), (0.6, 2, {4, 8, 12}), (0.01, 1, {1, 2, 3, 4, 5, 6}),
        (0.8, 2, {5, 10, 12}), (1.5, 2, {12}), (1.25, 2, {8, 12}), (1000.0, 2, {12}), (0.5, 0, set()),
    ],
)  # fmt: skip
def test_rows_are_scored_this_often_and_at_the_end_but_not_shortly_before_it(
    every: float, epochs: int, expected: set[int]
) -> None:
    changes = {"training.batch_size": 2, "training.epochs": epochs, "training.evaluation_epochs": every}
    assert make_plan(make_config(changes), ROWS).evaluations == expected


def test_a_step_reads_its_rows_in_batches_of_the_size_that_is_set(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.batch_size": 2, "training.grad_accumulation": 3, "training.epochs": 1})
    model, rows = model_of(config), []
    model.get_base_model().register_forward_pre_hook(
        lambda module, arguments, named: rows.append(named["input_ids"].shape[0]), with_kwargs=True
    )
    trainer = trainer_of(config, tmp_path, model=model)
    rows.clear()
    trainer.run()
    assert rows == [2] * 6
    assert trainer.plan.steps == 2


def ask_to_save(trainer: Trainer, minutes_ago: float) -> bool:
    trainer._saved_at -= 60 * minutes_ago
    return trainer._is_time_to_save()


def test_a_state_is_saved_after_so_many_minutes_and_at_evaluations_alone_when_there_are_none(
    backbone: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(config_of(backbone, **{"training.checkpoint_minutes": 7.0}), tmp_path / "a")
    assert not ask_to_save(trainer, 6.0)
    assert ask_to_save(trainer, 1.1)
    never = config_of(backbone, **{"training.checkpoint_minutes": 0.0, "training.evaluation_epochs": 1.0})
    assert not ask_to_save(trainer_of(never, tmp_path / "b"), 10_000.0)
    saved: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, CheckpointSaved):
            saved.append(event.step)

    run(never, tmp_path / "c", listener=listen)
    assert saved == [6, 12]


def embedded_in_training(config: ExperimentConfig, folder: Path, *, packed: bool, step: int) -> list[torch.Tensor]:
    """What the first layer reads of each row in one step, [T, D], shortest row first."""
    trainer = trainer_of(config, folder, packed=packed)
    samples = sorted(rows_of(config)[1][:3], key=lambda sample: len(sample.input_ids))
    read: list[torch.Tensor] = []
    with trainer.forward:
        hook = trainer.model.get_input_embeddings().register_forward_hook(
            lambda module, inputs, output: read.append(output.detach())
        )
        trainer._step = step
        trainer.model.train()
        trainer._gradient(trainer.feed.made_of(samples, step))
    hook.remove()
    lengths = [len(sample.input_ids) for sample in samples]
    (found,) = read
    if packed:  # longest first
        parts = list(found[0, : sum(lengths)].split(sorted(lengths, reverse=True)))
        return parts[::-1]
    return [row[:length] for row, length in zip(found.flip(0), lengths, strict=True)]


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_noise_is_uniform_within_alpha_by_the_root_of_length_times_width_of_its_own_row_and_drawn_anew(
    backbone: Path, tmp_path: Path, packed: bool, dtype: str
) -> None:
    changes: dict[str, Any] = {"training.batch_size": 8, "architecture.backbone_dtype": dtype}
    alpha = 5.0
    config = config_of(backbone, **changes, **{"augmentation.neftune_noise_alpha": alpha})
    silent = embedded_in_training(config_of(backbone, **changes), tmp_path, packed=packed, step=0)
    noisy, later = (embedded_in_training(config, tmp_path, packed=packed, step=step) for step in (0, 1))
    for plain, one, other in zip(silent, noisy, later, strict=True):
        unit = (one - plain).float() * math.sqrt(plain.numel()) / alpha
        tolerance = 0.02 if dtype == "float32" else 0.05
        assert 0.99 < float(unit.abs().max()) < 1.0 + tolerance
        assert float(unit.mean()) == pytest.approx(0.0, abs=0.05)
        assert float(unit.square().mean()) == pytest.approx(1 / 3, abs=0.03)
        assert not torch.allclose(one, other)


def test_there_is_no_noise_while_the_model_is_scored(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"augmentation.neftune_noise_alpha": 15.0})
    trainer, ids = trainer_of(config, tmp_path), torch.tensor([[5, 6, 7]])
    with torch.no_grad(), trainer.forward:
        embeddings = trainer.model.get_input_embeddings()
        silent = embeddings.weight[ids]
        assert torch.equal(trainer.model.eval().get_input_embeddings()(ids), silent)
        trainer.model.train()
        assert not torch.equal(embeddings(ids), silent)
    assert torch.equal(embeddings(ids), silent)


def test_losses_are_scaled_where_computing_in_float16_and_no_weight_is_trained_in_it(backbone: Path) -> None:
    model = model_of(config_of(backbone))
    plan = make_plan(config_of(backbone), 8)

    def scaled(computed: torch.dtype | None) -> bool:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        training = config_of(backbone).training
        return bool(Updates(model, trained, training, plan, "cpu", computed=computed).scale())

    assert [scaled(computed) for computed in (None, torch.bfloat16, torch.float16)] == [False, False, True]
    for weight in model.parameters():
        weight.data = weight.data if weight.requires_grad else weight.data.half()
    assert scaled(None), "a backbone that is held in float16, without mixed precision"
    model.half()
    assert not scaled(None)
