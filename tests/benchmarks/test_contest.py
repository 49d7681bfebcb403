"""The training contest is a fair one: the same rows a step for everyone, and settings that exist."""

import importlib
from pathlib import Path

import pytest

from llm_studio.config import make_config
from tests.benchmarks.contestant import Spec
from tests.benchmarks.training import DEFAULTS, MATCHES, STEP_ROWS, our_settings, trl_settings

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem[:2] not in ("__", "te"))


@pytest.mark.parametrize("module", MODULES)
def test_every_benchmark_can_be_imported(module: str) -> None:
    if module == "peers":
        pytest.importorskip("trl", reason="comes with the extra bench")
    importlib.import_module(f"tests.benchmarks.{module}")


@pytest.mark.parametrize("name", trl_settings())
def test_every_setting_of_the_grid_takes_as_many_rows_a_step_as_we_do(name: str) -> None:
    arguments = trl_settings()[name]
    rows = arguments.get("per_device_train_batch_size", 8) * arguments["gradient_accumulation_steps"]
    assert rows == STEP_ROWS


def test_the_defaults_change_nothing_but_the_rows_of_a_step() -> None:
    assert set(trl_settings()[DEFAULTS]) == {"gradient_accumulation_steps"}


def test_trl_knows_every_setting_of_the_grid_and_its_default_batch_is_the_one_assumed() -> None:
    trl = pytest.importorskip("trl", reason="comes with the extra bench")
    fields = {name for arguments in trl_settings().values() for name in arguments}
    assert fields <= set(trl.SFTConfig.__dataclass_fields__)
    assert trl.SFTConfig.__dataclass_fields__["per_device_train_batch_size"].default == 8


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: f"{match.backbone}-{match.dataset}")
def test_our_settings_are_valid_and_one_epoch_is_all_steps_of_a_turn(match: object) -> None:
    training = make_config(our_settings(match)).training
    assert training.batch_size * training.grad_accumulation == STEP_ROWS
    assert training.epochs == 1


def test_a_spec_arrives_as_it_was_written(tmp_path: Path) -> None:
    import json

    spec = Spec("trl", "b", "r", "w", "h", {"training.lora_r": 8}, {"bf16": True})
    spec.write(tmp_path / "spec.json")
    assert Spec(**json.loads((tmp_path / "spec.json").read_text())) == spec
