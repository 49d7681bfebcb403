"""Configs from changes: the order of what decides, and errors that come all at once."""

import pytest

from llm_studio.config import PRESETS, ExperimentConfig, SettingsError, check_value, make_config, settings_by_path
from llm_studio.errors import UserError


def problems(changes: dict[str, object]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        make_config(changes)
    return {problem.path: f"{problem.what} {problem.fix}" for problem in caught.value.problems}


def test_says_everything_that_is_wrong_at_once() -> None:
    found = problems(
        {
            "training.lora_r": 0,
            "training.lorar": 8,
            "training.optimizer": "adamw8",
            "logging.logger": "W&B",
            "problem_type": "casual_lm",
            "prediction.top_p": "much",
        }
    )
    assert set(found) == {
        "training.lora_r", "training.lorar", "training.optimizer", "logging.logger", "problem_type",
        "prediction.top_p",
    }  # fmt: skip
    assert "is 0, but takes at least 1 and at most 1024" in found["training.lora_r"]


def test_offers_the_nearest_name() -> None:
    assert "Did you mean training.lora_r?" in problems({"training.lorar": 8})["training.lorar"]
    assert "Did you mean 'AdamW8bit'?" in problems({"training.optimizer": "adamw8bits"})["training.optimizer"]
    assert "Did you mean training.learning_rate?" in problems({"learning_rate": 1})["learning_rate"]


def test_the_error_has_what_where_and_fix() -> None:
    with pytest.raises(SettingsError) as caught:
        make_config({"training.epochs": -1, "training.lora_r": 0})
    assert "Epochs (training.epochs) is -1, but takes at least 0" in caught.value.what
    assert caught.value.where == "training.epochs, training.lora_r"
    assert "the default is 16" in caught.value.fix


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan"])
def test_a_number_is_finite(value: object) -> None:
    assert "training.learning_rate" in problems({"training.learning_rate": value})


def test_a_config_never_changes() -> None:
    config = make_config({})
    with pytest.raises(ValueError, match="frozen"):
        config.training.lora_r = 8
    assert config.with_changes({"training.lora_r": 8}).training.lora_r == 8
    assert config.training.lora_r == 16


def test_the_defaults_are_those_that_were_decided() -> None:
    config = ExperimentConfig()
    assert (config.training.lora_r, config.training.lora_alpha) == (16, 32)
    assert config.architecture.backbone_dtype == "auto"
    assert config.environment.seed >= 0
    assert not config.environment.trust_remote_code
    assert config.environment.gpus == "auto"
    assert config.llm_backbone == "starter"


def test_the_backbone_goes_over_the_default_the_preset_over_both_and_the_user_over_all() -> None:
    recommended = {"training.epochs": 3, "training.learning_rate": 4e-3}
    assert make_config({}, recommended=recommended).training.epochs == 3
    balanced = make_config({}, recommended=recommended, preset="balanced")
    assert balanced == make_config({}, recommended=recommended)
    quick = make_config({}, recommended=recommended, preset="quick")
    assert (quick.training.epochs, quick.training.learning_rate) == (1, 4e-3)
    quality = make_config({}, recommended=recommended, preset="quality")
    assert (quality.training.epochs, quality.training.lora_r, quality.training.lora_alpha) == (6, 32, 64)
    own = make_config({"training.epochs": 9}, recommended=recommended, preset="quality")
    assert own.training.epochs == 9


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_config(name: str) -> None:
    make_config({}, preset=name)
    assert PRESETS[name].help.endswith((".", "?"))


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        make_config({}, preset="qualty")
    assert "Did you mean quality?" in caught.value.fix


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("training.learning_rate", "2e-4", 2e-4),
        ("training.learning_rate", " 0.001 ", 1e-3),
        ("training.epochs", "3", 3),
        ("training.epochs", "3.0", 3),
        ("tokenizer.max_length", "1_024", 1024),
        ("training.lora", "off", False),
        ("training.lora", "Yes", True),
        ("training.optimizer", "SGD", "SGD"),
        ("dataset.text_prompt_start", " hello", " hello"),
    ],
)
def test_reads_what_people_type(path: str, text: str, value: object) -> None:
    assert check_value(settings_by_path()[path], text) == (value, None)


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("training.epochs", "2.5", "takes a whole number, not '2.5'"),
        ("training.epochs", "1e400", "takes a whole number"),
        ("training.learning_rate", "1,5", "takes a number, not '1,5'"),
        ("training.learning_rate", "2", "takes more than 0 and at most 1"),
        ("training.lora", "perhaps", "takes true or false"),
    ],
)
def test_says_what_is_wrong_with_what_was_typed(path: str, text: str, words: str) -> None:
    problem = check_value(settings_by_path()[path], text)[1]
    assert problem is not None
    assert words in problem.what
    assert problem.fix
