"""The reference page says what the code says."""

from pathlib import Path

from llm_studio.config import PRESETS, all_settings
from llm_studio.config.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run make docs"


def test_every_setting_and_preset_stands_in_it() -> None:
    page = reference()
    for info in all_settings():
        assert f"### `{info.path}` - {info.title}" in page
        assert info.help in page
    for preset in PRESETS.values():
        assert preset.help in page
