"""Going on from the command line: what is refused is said in three lines, and a dry run names what does not fit."""

from pathlib import Path

import pytest

from llm_studio.cli.main import BAD_INPUT, main
from llm_studio.store import Store
from tests.support.tuned import make_backbone, make_experiment


@pytest.fixture(autouse=True)
def home(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_STUDIO_HOME", str(store.home.path))


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    backbone = make_backbone(tmp_path / "backbone")
    record = make_experiment(store, backbone, name="first")
    path = tmp_path / "second.yaml"
    path.write_text(
        f"dataset_id: '{record.dataset_id}'\nllm_backbone: {backbone}\ntokenizer:\n  max_length: 256\n",
        encoding="utf-8",
    )
    return path


def test_a_dry_run_from_another_experiment_names_the_settings_that_differ(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(file), "--from", "first", "--dry-run"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "error: The adapter of first has LoRA rank 4, this experiment 16. (training.lora_r) Set it to 4" in said
    assert main(["train", str(file), "--from", "first", "--take", "merged", "--dry-run"]) == 0


def test_an_experiment_that_is_not_there_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(file), "--from", "none such", "--dry-run"]) == BAD_INPUT
    assert "There is no experiment 'none such'" in capsys.readouterr().err


def test_epochs_that_cannot_be_added_leave_the_experiment_as_it_is(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment", "more-epochs", "first", "0"]) == BAD_INPUT
    assert "0 epochs cannot be added" in capsys.readouterr().err
    assert main(["experiment", "continue", "first"]) == BAD_INPUT
    assert "The experiment has finished" in capsys.readouterr().err
    assert store.experiments.list()[0].status == "finished"
