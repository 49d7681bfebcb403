"""What every declared setting must be: named, explained, limited, in force or openly locked."""

import re
from pathlib import Path

import pytest

from llm_studio.config import (
    ExperimentConfig,
    SettingInfo,
    SettingsError,
    all_settings,
    check_value,
    describe,
    is_visible,
    make_config,
    parse_value,
    settings_by_path,
)
from llm_studio.config.reference import shown

PACKAGE = Path(__file__).resolve().parents[2] / "llm_studio"
SETTINGS = all_settings()
OF_EXPERIMENTS = [info for info in SETTINGS if info.scope == "experiment"]
NUMBERS = [info for info in OF_EXPERIMENTS if info.kind in ("int", "float") and info.status == "ready"]
# Names that only the studio itself reads: the form, lists, and a choice of one.
READ_ELSEWHERE = {"experiment_name", "problem_type", "training.loss_function", "environment.mixed_precision_dtype"}

# The settings of H2O LLM Studio for causal language modelling, by the names in its YAML files.
ACCEPTANCE = {
    "general": "problem_type experiment_name llm_backbone",
    "dataset": "personalize chatbot_name chatbot_author train_dataframe validation_strategy validation_dataframe "
    "validation_size data_sample data_sample_choice system_column prompt_column prompt_column_separator answer_column "
    "parent_id_column id_column text_system_start text_prompt_start text_answer_separator add_eos_token_to_system "
    "add_eos_token_to_prompt add_eos_token_to_answer limit_chained_samples mask_prompt_labels only_last_answer",
    "tokenizer": "max_length add_prompt_answer_tokens padding_quantile tokenizer_kwargs",
    "architecture": "backbone_dtype gradient_checkpointing intermediate_dropout pretrained_weights",
    "training": "loss_function optimizer learning_rate differential_learning_rate_layers differential_learning_rate "
    "freeze_layers attention_implementation batch_size epochs schedule min_learning_rate_ratio warmup_epochs "
    "weight_decay gradient_clip grad_accumulation lora use_dora lora_r lora_alpha lora_dropout use_rslora "
    "lora_target_modules lora_unfreeze_layers save_checkpoint evaluation_epochs evaluate_before_training "
    "train_validation_data",
    "augmentation": "token_mask_probability skip_parent_probability random_parent_probability neftune_noise_alpha",
    "prediction": "metric metric_gpt_model metric_gpt_template min_length_inference max_length_inference max_time "
    "batch_size_inference do_sample num_beams temperature repetition_penalty stop_tokens top_k top_p num_history",
    "environment": "gpus mixed_precision mixed_precision_dtype compile_model trust_remote_code huggingface_branch "
    "number_of_workers seed",
    "logging": "log_step_size log_all_ranks logger wandb_project wandb_entity",
}


def name_of(info: SettingInfo) -> str:
    return f"{info.scope}:{info.path}"


@pytest.mark.parametrize("section", ACCEPTANCE)
def test_every_setting_of_h2o_llm_studio_is_declared(section: str) -> None:
    declared = {info.name for info in SETTINGS if info.section == section}
    assert set(ACCEPTANCE[section].split()) - declared == set()


def test_no_two_settings_share_a_path() -> None:
    paths = [info.path for info in SETTINGS]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("info", SETTINGS, ids=name_of)
def test_has_a_title_and_at_most_three_sentences_of_help(info: SettingInfo) -> None:
    assert 2 <= len(info.title) <= 40
    assert not info.title[0].islower() or info.title == "rsLoRA"
    assert info.help.endswith(".")
    assert "!" not in info.help
    without_source = re.sub(r"Source: [^ ]+\.$", "", info.help).strip()
    assert len(re.findall(r"[.?](?: |$)", without_source)) <= 3
    assert info.help.rstrip(".").lower() != info.title.lower()


@pytest.mark.parametrize("info", SETTINGS, ids=name_of)
def test_its_condition_names_settings_of_its_section(info: SettingInfo) -> None:
    if info.visible_when is None:
        return
    known = settings_by_path(info.scope)
    for name in (*info.visible_when.wanted, *info.visible_when.unwanted):
        assert f"{info.section}.{name}" in known
    assert info.visible_when.words
    assert isinstance(is_visible(info, {path: one.default for path, one in known.items()}), bool)


@pytest.mark.parametrize("info", SETTINGS, ids=name_of)
def test_its_default_is_one_of_its_choices(info: SettingInfo) -> None:
    if info.kind == "choice":
        assert info.default in info.choices


@pytest.mark.parametrize("info", OF_EXPERIMENTS, ids=name_of)
def test_its_default_can_be_typed(info: SettingInfo) -> None:
    text = ", ".join(info.default) if isinstance(info.default, tuple) else str(info.default)
    assert parse_value(info, text) == info.default
    assert check_value(info, text) == (info.default, None)


@pytest.mark.parametrize("info", NUMBERS, ids=name_of)
def test_its_limits_are_taken_and_what_lies_beyond_is_refused(info: SettingInfo) -> None:
    assert info.minimum is not None and info.maximum is not None, "a number without limits"
    if not info.minimum_exclusive:
        assert check_value(info, f"{info.minimum:.17g}")[1] is None
    assert check_value(info, f"{info.maximum:.17g}")[1] is None
    below = info.minimum if info.minimum_exclusive else info.minimum - 1
    for text in (f"{below:.17g}", f"{info.maximum + 1:.17g}", "nan", "inf", "many", ""):
        problem = check_value(info, text)[1]
        assert problem is not None, text
        assert problem.path == info.path
        assert info.limits in problem.fix


@pytest.mark.parametrize("info", [info for info in SETTINGS if info.grid], ids=name_of)
def test_its_grid_holds_values_it_takes(info: SettingInfo) -> None:
    for value in info.grid:
        make_config({info.path: value})


@pytest.mark.parametrize("info", [info for info in OF_EXPERIMENTS if info.status == "ready"], ids=name_of)
def test_what_is_ready_is_read_by_the_engine(info: SettingInfo) -> None:
    if info.path in READ_ELSEWHERE:
        return
    places = ("tokens", "modeling", "training", "evaluation", "worker", "serving", "actions")
    pattern = re.compile(rf"\.{info.name}\b")
    files = [file for place in places for file in (PACKAGE / place).rglob("*.py")]
    assert any(pattern.search(file.read_text()) for file in files), "nothing reads it: mark it coming"


@pytest.mark.parametrize("info", [info for info in OF_EXPERIMENTS if info.status == "coming"], ids=name_of)
def test_what_is_coming_is_refused_and_not_taken_silently(info: SettingInfo) -> None:
    other = {"bool": not info.default, "int": 1, "float": 0.25, "str": "x", "multi": ("embed",)}.get(
        info.kind, next((choice for choice in info.choices if choice != info.default), None)
    )
    make_config({info.path: info.default})
    with pytest.raises(SettingsError, match="not built yet"):
        make_config({info.path: other})


@pytest.mark.parametrize("info", SETTINGS, ids=name_of)
def test_describes_itself_as_plain_data(info: SettingInfo) -> None:
    found = describe(info)
    assert found["path"] == info.path
    assert found["help"] == info.help
    assert shown(info.default) is not None


def test_a_path_reads_the_value_of_a_config() -> None:
    config = ExperimentConfig()
    for info in OF_EXPERIMENTS:
        assert config.get(info.path) == info.default
