"""Every setting of the studio, declared once; from here come form, YAML, command line, checks and reference."""

from llm_studio.config.checks import Finding, check
from llm_studio.config.dataset_settings import DatasetSettings
from llm_studio.config.declarations import (
    SettingInfo,
    all_settings,
    describe,
    is_visible,
    parse_value,
    settings_by_path,
)
from llm_studio.config.estimate import Estimate, estimate
from llm_studio.config.experiment import ExperimentConfig, flatten
from llm_studio.config.facts import BackboneFacts
from llm_studio.config.making import Problem, SettingsError, check_value, make_config
from llm_studio.config.presets import PRESETS, Preset
from llm_studio.config.yaml_files import Loaded, from_yaml, to_yaml

__all__ = [
    "PRESETS",
    "BackboneFacts",
    "DatasetSettings",
    "Estimate",
    "ExperimentConfig",
    "Finding",
    "Loaded",
    "Preset",
    "Problem",
    "SettingInfo",
    "SettingsError",
    "all_settings",
    "check",
    "check_value",
    "describe",
    "estimate",
    "flatten",
    "from_yaml",
    "is_visible",
    "make_config",
    "parse_value",
    "settings_by_path",
    "to_yaml",
]
