"""What goes wrong in a training of a tiny model: no numbers, a loss that rises, memory that runs out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.modeling.loading import quiet
from llm_studio.modeling.recomputing import recomputes
from llm_studio.training.divergence import FIRST, LAST, DivergedError, Watch
from llm_studio.training.events import Event, Note
from llm_studio.training.memory import OutOfMemoryError
from tests.support.tiny import config_of, model_of, rows_of, run, trainer_of
from tests.support.tuned import make_backbone


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_no_number_ends_the_training_before_the_weights_follow_it(
    backbone: Path, tmp_path: Path, where: str
) -> None:
    model = model_of(config_of(backbone))
    steps: list[Event] = []
    broken = False

    def breaks(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("inf") if broken and where == "gradient" else gradient

    def breaks_output(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output * float("nan") if broken and where == "loss" else output

    first = next(weight for name, weight in model.named_parameters() if "lora_B" in name)
    first.register_hook(breaks)
    model.get_output_embeddings().register_forward_hook(breaks_output)

    def listen(event: Event) -> None:
        nonlocal broken
        steps.append(event)
        broken = len(steps) == 2

    trainer = trainer_of(config_of(backbone), tmp_path, model=model, listen=listen)
    with pytest.raises(DivergedError) as caught:
        trainer.run()
    assert caught.value.what == f"The {where} is no number any more after step 2."
    assert caught.value.where == "training.learning_rate"
    assert trainer.back_to_good(caught.value) == 2
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


def test_a_loss_that_rises_and_stays_ends_the_training_but_a_single_peak_does_not() -> None:
    watch = Watch()
    for step in range(FIRST + 2 * LAST):
        watch.look(step, 900.0 if step == FIRST + 3 else 1.0)
    with pytest.raises(DivergedError) as caught:
        for step in range(LAST):
            watch.look(step, 4.0)
    assert caught.value.rose
    assert "rose from 1.00 to 4.00" in caught.value.what


def test_after_a_loss_that_rose_the_weights_of_the_last_state_are_taken(backbone: Path, tmp_path: Path) -> None:
    trainer = trainer_of(config_of(backbone), tmp_path)
    trainer.save()
    before = [weight.detach().clone() for weight in trainer._trained.values()]
    trainer.step_on(rows_of(trainer.config)[1])
    assert trainer.back_to_good(DivergedError("The loss rose.", rose=True)) == 0
    assert all(torch.equal(*pair) for pair in zip(before, trainer._trained.values(), strict=True))


def test_running_out_of_memory_halves_the_micro_batch_and_keeps_the_step(backbone: Path, tmp_path: Path) -> None:
    settings = {"training.batch_size": 4, "training.lora_dropout": 0.0, "training.epochs": 1}
    expected = [step.loss for step in run(config_of(backbone, **settings), tmp_path / "a")[0]]
    model = model_of(config_of(backbone, **settings))
    notes: list[str] = []

    def full(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        if named["input_ids"].shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.get_base_model().register_forward_pre_hook(full, with_kwargs=True)
    steps, _, finished = run(
        config_of(backbone, **settings),
        tmp_path / "b",
        model=model,
        listener=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert finished
    assert [step.loss for step in steps] == pytest.approx(expected, abs=1e-5)
    assert ["hold 2 rows" in notes[0], "hold 1 rows" in notes[1]] == [True, True]
    assert len(notes) == 2


def test_running_out_of_memory_on_one_row_says_what_to_do(backbone: Path, tmp_path: Path) -> None:
    model = model_of(config_of(backbone))

    def full(module: Any, arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model.get_base_model().register_forward_pre_hook(full)
    with pytest.raises(OutOfMemoryError) as caught:
        run(config_of(backbone), tmp_path, model=model)
    assert "single row" in caught.value.what
    assert "gradient checkpointing" in caught.value.fix


def test_a_single_step_that_runs_out_of_memory_is_taken_again_on_the_same_rows(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.batch_size": 4, "training.lora_dropout": 0.0})
    rows = rows_of(config)[1][-4:]
    expected = float(trainer_of(config, tmp_path).step_on(rows))
    model, tried = model_of(config), []

    def full(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        tried.append(named["input_ids"].shape[0])
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.get_base_model().register_forward_pre_hook(full, with_kwargs=True)
    trainer = trainer_of(config, tmp_path, model=model)
    assert float(trainer.step_on(rows)) == pytest.approx(expected, abs=1e-5)
    assert (tried[-3:], trainer.feed.layout.most_rows) == ([4, 2, 2], 2)


def test_a_row_that_alone_is_too_large_turns_gradient_checkpointing_on(backbone: Path, tmp_path: Path) -> None:
    settings = {"training.lora_dropout": 0.1, "training.batch_size": 1, "training.grad_accumulation": 2}
    expected = [step.loss for step in run(config_of(backbone, **settings), tmp_path / "a")[0]]
    model = model_of(config_of(backbone, **settings))
    notes: list[str] = []

    def full(module: Any, arguments: Any) -> None:
        if module.training and not recomputes(module):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.get_base_model().register_forward_pre_hook(full)
    told = {"listener": lambda event: notes.append(event.text) if isinstance(event, Note) else None}
    steps, _, _ = run(config_of(backbone, **settings), tmp_path / "b", model=model, stop_after=3, **told)
    assert [step.loss for step in steps] == pytest.approx(expected[: len(steps)], abs=1e-5)
    assert len(notes) == 1
    assert "gradient checkpointing is on" in notes[0]
    again = model_of(config_of(backbone, **settings))
    rest, _, finished = run(config_of(backbone, **settings), tmp_path / "b", model=again, **told)
    assert finished
    assert recomputes(again), "a resumed training goes on the same way"
    assert [step.loss for step in rest] == pytest.approx(expected[len(steps) :], abs=1e-5)
