"""A training that was stopped or killed goes on to the very same numbers, and never from a torn state."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import to_yaml
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.loading import quiet
from llm_studio.training.checkpoints import OPTIMIZER, PROGRESS, WEIGHTS, Checkpoints, State
from llm_studio.training.events import CheckpointSaved, EvaluationDue, Event, Note
from llm_studio.training.trainer import seed_of
from tests.support.tiny import config_of, run, trainer_of
from tests.support.tuned import make_backbone

STEP_BY_STEP = {"training.checkpoint_minutes": 1e-6}
KILLED = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.grad_accumulation": 2, "training.batch_size": 1, "training.epochs": 3},
        {"training.packing": "never", "training.schedule": "Linear", "training.warmup_epochs": 1.0},
        {"training.lora": False, "training.optimizer": "SGD"},
    ],
    ids=["plain", "accumulation", "schedule", "all weights"],
)
def test_a_stopped_training_goes_on_to_the_very_same_numbers(
    backbone: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = config_of(backbone, **changes)
    packed = config.training.packing != "never"
    whole, model, _ = run(config, tmp_path / "whole", packed=packed)
    stop = random.randrange(1, len(whole))
    first, _, finished = run(config, tmp_path / "parts", stop_after=stop, packed=packed)
    assert not finished
    second, again, finished = run(config, tmp_path / "parts", packed=packed)
    assert finished
    assert [(step.step, step.loss, step.gradient_norm, step.learning_rate) for step in first + second] == [
        (step.step, step.loss, step.gradient_norm, step.learning_rate) for step in whole
    ]
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_killed_at_any_moment_goes_on_to_the_very_same_losses(
    backbone: Path, tmp_path: Path, accumulation: int
) -> None:
    settings = {"training.grad_accumulation": accumulation, "training.epochs": 12, **STEP_BY_STEP}
    config = config_of(backbone, **settings)
    whole = {step.step: step.loss for step in run(config, tmp_path / "whole")[0]}
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    found: dict[int, float] = {}
    kills = 0
    while max(found, default=0) < len(whole):
        last = max(found, default=0)
        wanted = min(len(whole), last + random.randrange(len(whole) // 5, len(whole) // 3))
        killed, told = killed_after(tmp_path, wanted, len(whole))
        kills += killed
        found |= told
    assert kills >= 2
    assert found == whole


def killed_after(folder: Path, wanted: int, steps: int) -> tuple[bool, dict[int, float]]:
    """Train in a process of its own and kill it once it has told step `wanted`; (whether it was, losses by step)."""
    command = [sys.executable, str(KILLED), str(folder)]
    told: dict[int, float] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(KILLED.parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:  # to its end: what it told before it was killed counts
            if not line.endswith("\n"):
                break
            step, loss = json.loads(line)
            told[step] = loss
            if step == wanted and wanted < steps:
                time.sleep(random.random() * 0.02)
                process.send_signal(signal.SIGKILL)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0, told


def test_a_training_stopped_in_its_last_evaluation_goes_on_with_that_evaluation(backbone: Path, tmp_path: Path) -> None:
    due: list[int] = []
    config = config_of(backbone, **{"training.epochs": 1, "training.evaluation_epochs": 1.0})

    def listen(event: Event) -> None:
        if isinstance(event, EvaluationDue):
            due.append(event.step)
            if len(due) == 1:
                raise Cancelled

    first, _, finished = run(config, tmp_path, listener=listen)
    assert not finished
    second, _, finished = run(config, tmp_path, listener=listen)
    assert finished
    assert due == [6, 6]
    assert (len(first), len(second)) == (6, 0)


def test_evaluations_do_not_disturb_the_random_numbers_of_the_training(backbone: Path, tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, EvaluationDue):
            torch.rand(7)

    often = config_of(backbone, **{"training.evaluation_epochs": 0.2})
    seldom = config_of(backbone, **{"training.evaluation_epochs": 5.0})
    first, second = (run(config, tmp_path / name, listener=listen)[0] for config, name in ((often, "a"), (seldom, "b")))
    assert [step.loss for step in first] == [step.loss for step in second]
    assert len({seed_of(1, 2, 0), seed_of(1, 2, 1), seed_of(1, 3, 0), seed_of(2, 2, 0)}) == 4


def test_a_state_is_saved_every_so_many_minutes_and_only_the_newest_is_kept(backbone: Path, tmp_path: Path) -> None:
    saved: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, CheckpointSaved):
            saved.append(event.step)

    run(config_of(backbone, **STEP_BY_STEP, **{"training.epochs": 1}), tmp_path, listener=listen)
    assert saved == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000006"]
    saved.clear()
    run(config_of(backbone, **{"training.epochs": 1}), tmp_path / "other", listener=listen)
    assert saved == [3, 6]


def state(step: int) -> State:
    return State(step, {"w": torch.full((4,), float(step))}, {"state": {0: {"m": torch.ones(4)}}}, {"seconds": 1.0})


@pytest.mark.parametrize("file", [WEIGHTS, OPTIMIZER, PROGRESS])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_torn_state_is_never_chosen(tmp_path: Path, file: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(3))
    (tmp_path / "step-00000003").rename(tmp_path / "kept")
    checkpoints.save(state(5))
    (tmp_path / "kept").rename(tmp_path / "step-00000003")
    torn = tmp_path / "step-00000005" / file
    content = bytearray(torn.read_bytes())
    if damage == "flipped":
        content[0] ^= 255
        torn.write_bytes(bytes(content))
    elif damage == "cut":
        torn.write_bytes(bytes(content[: len(content) // 2]))
    else:
        torn.unlink()
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 3
    assert found.weights["w"].tolist() == [3.0] * 4


def test_a_state_half_written_is_not_looked_at(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    checkpoints.save(state(1))
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000001.part")
    assert checkpoints.newest() is None
    checkpoints.save(state(1))
    assert not list(tmp_path.glob("*.part"))


def test_a_state_that_does_not_fit_on_the_disk_is_refused_and_the_old_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1))
    monkeypatch.setattr("llm_studio.training.checkpoints.shutil.disk_usage", lambda folder: DiskUsage(free=10))
    with pytest.raises(UserError) as caught:
        checkpoints.save(state(2))
    assert "disk" in caught.value.what
    found = checkpoints.newest()
    assert found is not None and found.step == 1


class DiskUsage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_nothing_in_a_state_needs_unpickling(backbone: Path, tmp_path: Path) -> None:
    run(config_of(backbone), tmp_path, stop_after=2)
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == sorted([WEIGHTS, OPTIMIZER, PROGRESS])
    torch.load(next(tmp_path.rglob(OPTIMIZER)), weights_only=True)


def test_a_state_of_other_weights_is_refused(backbone: Path, tmp_path: Path) -> None:
    run(config_of(backbone), tmp_path, stop_after=2)
    with pytest.raises(UserError) as caught:
        run(config_of(backbone, **{"training.lora_target_modules": "q_proj"}), tmp_path)
    assert "other weights" in caught.value.what


def test_a_resumed_training_says_where_it_goes_on(backbone: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    run(config_of(backbone), tmp_path, stop_after=4)
    trainer_of(
        config_of(backbone),
        tmp_path,
        listen=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    ).run()
    assert notes == ["Going on from step 4 of 12."]
