"""Configs that H2O LLM Studio wrote: never refused, and no line goes without a word."""

from pathlib import Path

import pytest
import yaml

from llm_studio.config import DatasetSettings, from_yaml, make_config
from llm_studio.config.yaml_files import Loaded

FILES = sorted((Path(__file__).parent / "h2o_files").glob("*.yaml"))


def load(name: str) -> Loaded:
    return from_yaml((Path(__file__).parent / "h2o_files" / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_line_is_taken_renamed_replaced_or_not_known(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    loaded = from_yaml(text)
    said = " | ".join((*loaded.taken, *loaded.renamed, *loaded.replaced, *loaded.unknown))
    for name, value in yaml.safe_load(text).items():
        for inner in value if isinstance(value, dict) else [None]:
            assert (f"{name}.{inner}" if inner else name) in said


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_columns_fit_a_data_set(file: Path) -> None:
    settings = from_yaml(file.read_text(encoding="utf-8")).dataset_settings
    assert settings is not None
    DatasetSettings.model_validate(settings)


def test_takes_over_what_it_can() -> None:
    config = load("default").config
    assert config.training.lora_r == 4
    assert config.training.gradient_clip == 0
    assert config.architecture.backbone_dtype == "int4"
    assert config.environment.seed == -1
    assert config.llm_backbone == "h2oai/h2o-danube3-500m-base"
    assert config.experiment_name == "busy-otter"


def test_replaces_what_we_do_in_another_way_and_says_why() -> None:
    loaded = load("default")
    assert loaded.config.environment.trust_remote_code is False
    assert loaded.config.environment.gpus == "auto"
    said = "\n".join(loaded.replaced)
    for words in ("trust_remote_code = True: code from", "DeepSpeed is not used", "find_unused_parameters"):
        assert words in said


def test_takes_over_the_judge_and_not_its_fixed_questions() -> None:
    loaded = load("default")
    prediction = loaded.config.prediction
    assert (prediction.metric, prediction.metric_gpt_model) == ("gpt", "gpt-3.5-turbo-0301")
    assert "prediction.metric: 'GPT' is 'gpt' here" in loaded.renamed
    text = "problem_type: text_causal_language_modeling\nprediction:\n  metric_gpt_template: {}\n"
    assert from_yaml(text.format("rag")).config.prediction.metric_gpt_template == "rag"
    benched = from_yaml(text.format("mt-bench"))
    assert benched.config.prediction.metric_gpt_template == "general"
    assert any("its 80 fixed questions are not asked" in line for line in benched.replaced)


def test_renames_values() -> None:
    loaded = load("everything_else")
    assert loaded.config.prediction.metric == "bleu"
    assert "prediction.metric: 'BLEU' is 'bleu' here" in loaded.renamed


def test_names_what_it_does_not_know() -> None:
    assert load("everything_else").unknown == ("prediction.something_of_a_later_version = 3",)


def test_a_value_out_of_our_range_becomes_our_default() -> None:
    loaded = load("everything_else")
    assert loaded.config.training.lora_alpha == make_config({}).training.lora_alpha
    assert any(line.startswith("training.lora_alpha = 100000: takes at least 1") for line in loaded.replaced)


def test_what_is_not_built_yet_becomes_our_default() -> None:
    loaded = load("everything_else")
    assert loaded.config.training.freeze_layers == ("embed",)
    assert loaded.config.logging.logger == "None"
    assert any("logging.logger" in line and "not built yet" in line for line in loaded.replaced)


def test_columns_files_and_split_go_to_the_data_set() -> None:
    loaded = load("everything_else")
    assert loaded.data_file == "/daten/träger.csv"
    assert loaded.dataset_settings == {
        "answer_column": "antwort",
        "id_column": "id",
        "layout": "threads",
        "parent_id_column": "parent_id",
        "prompt_column": ("frage", "größe"),
        "prompt_column_separator": "\n--\n",
        "system_column": "系统",
        "train_dataframe": "/daten/träger.csv",
        "validation_dataframe": "/daten/prüfung.csv",
        "validation_strategy": "custom",
    }


def test_no_column_is_an_empty_name() -> None:
    settings = load("default").dataset_settings
    assert settings is not None
    assert settings["system_column"] == ""
    assert settings["validation_dataframe"] == ""


def test_markers_of_the_file_are_used_with_their_line_breaks() -> None:
    config = load("everything_else").config
    assert config.dataset.text_answer_separator == "\n<|answer|>"
    assert config.dataset.chat_template == "markers"


def test_a_file_that_names_a_side_to_cut_at_still_cuts_and_says_so() -> None:
    loaded = load("default")
    assert (loaded.config.tokenizer.truncation, loaded.config.tokenizer.truncation_side) == ("cut", "left")
    assert any("tokenizer.truncation is 'cut'" in line for line in loaded.renamed)
    older = from_yaml("tokenizer:\n  truncation_side: right\n").config.tokenizer
    assert (older.truncation, older.truncation_side) == ("cut", "right")


def test_a_file_of_another_problem_type_loads_with_ours() -> None:
    for name in ("preference", "classification"):
        loaded = load(name)
        assert loaded.config.problem_type == "causal_lm"
        assert any(line.startswith("problem_type") for line in loaded.replaced)


def test_a_single_setting_of_theirs_is_enough_to_be_theirs() -> None:
    assert load("trimmed").config.training.lora_r == 8


def test_the_command_line_goes_over_the_file() -> None:
    text = FILES[0].read_text(encoding="utf-8")
    assert from_yaml(text, changes={"training.lora_r": "64"}).config.training.lora_r == 64
