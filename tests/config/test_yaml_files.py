"""Our own YAML files: what is written is what is read."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_studio import starter
from llm_studio.config import SettingInfo, SettingsError, from_yaml, make_config, settings_by_path, to_yaml
from llm_studio.errors import UserError


def values_of(info: SettingInfo) -> st.SearchStrategy[Any]:
    """Any value that a setting takes."""
    if info.status == "coming":
        return st.just(info.default)
    match info.kind:
        case "bool":
            return st.booleans()
        case "choice":
            return st.sampled_from(info.choices)
        case "int":
            return st.integers(int(info.minimum or 0), int(info.maximum or 10))
        case "float":
            return st.floats(info.minimum, info.maximum, exclude_min=info.minimum_exclusive)
        case "multi":
            return st.lists(st.text(max_size=8), max_size=3).map(tuple)
        case _:
            return st.text(max_size=40)


CONFIGS = st.fixed_dictionaries({}, optional={path: values_of(info) for path, info in settings_by_path().items()})


@settings(max_examples=150, deadline=None)
@example({"experiment_name": "\x85"})
@example({"experiment_name": "a\u2028b\u2029"})
@given(CONFIGS)
def test_every_config_survives_the_way_to_yaml_and_back(changes: dict[str, Any]) -> None:
    config = make_config(changes)
    assert from_yaml(to_yaml(config)).config == config


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
))  # fmt: skip
def test_a_strange_file_is_read_or_refused_with_words(document: Any) -> None:
    try:
        from_yaml(yaml.safe_dump(document, allow_unicode=True))
    except UserError as error:
        assert error.what


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(
    st.sampled_from(sorted(settings_by_path())),
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    max_size=6,
))  # fmt: skip
def test_a_foreign_file_is_never_refused(changes: dict[str, Any]) -> None:
    document: dict[str, Any] = {"dataset": {"train_dataframe": "a.csv"}}
    for path, value in changes.items():
        section, _, name = path.rpartition(".")
        if section:
            document.setdefault(section, {})[name] = value
        else:
            document[name] = value
    assert from_yaml(yaml.safe_dump(document)).data_file == "a.csv"


def test_what_the_file_does_not_name_is_recommended_by_the_starter() -> None:
    loaded = from_yaml("training: {lora_r: 8}\n")
    assert loaded.config.training.lora_r == 8
    assert loaded.config.training.learning_rate == starter.RECOMMENDED["training.learning_rate"]
    assert loaded.changes == {"training.lora_r": 8}
    other = from_yaml("llm_backbone: someone/some-model\n")
    assert other.config.training.learning_rate == make_config({}).training.learning_rate


def test_a_file_may_name_a_preset_and_the_command_line_another() -> None:
    text = "preset: quality\nllm_backbone: someone/some-model\n"
    assert from_yaml(text).config.training.lora_r == 32
    assert from_yaml(text, preset="quick").config.training.lora_r == 16


def test_the_command_line_goes_last_and_its_errors_come_all_at_once() -> None:
    assert from_yaml("training: {lora_r: 8}", changes={"training.lora_r": "4"}).config.training.lora_r == 4
    with pytest.raises(SettingsError) as caught:
        from_yaml("training: {lora_r: 8}", changes={"training.lora_r": "many", "training.lorar": "4"})
    assert [problem.path for problem in caught.value.problems] == ["training.lora_r", "training.lorar"]


def test_a_wrong_name_in_our_own_file_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no setting 'training\.lorar'"):
        from_yaml("training: {lorar: 8}")


def test_scientific_notation_without_a_dot_is_a_number() -> None:
    assert from_yaml("training: {learning_rate: 1e-4}").config.training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "words", "where"),
    [
        ("training: {lora_r: 8", "This is no YAML", "line 1"),
        ("- a\n- b\n", "The file holds no settings.", "YAML"),
        ("", "The file holds no settings.", "YAML"),
        ("a: !!python/object/apply:os.system [ls]", "This is no YAML", "line 1"),
        ("# " + "x" * 1_000_001, "too large", "YAML"),
    ],
)
def test_says_where_a_file_is_no_config(text: str, words: str, where: str) -> None:
    with pytest.raises(UserError) as caught:
        from_yaml(text)
    assert words in caught.value.what
    assert where in caught.value.where
    assert caught.value.fix
