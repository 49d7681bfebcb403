"""Writes the reference page of all settings: `python -m llm_studio.config.reference docs/settings.md`."""

import sys
from pathlib import Path

from llm_studio.config.declarations import SettingInfo, all_settings
from llm_studio.config.presets import PRESETS

HEAD = """# Settings

Written by `make docs` from the declarations in `llm_studio/config/`; do not edit it by hand.

A setting is named `section.setting` in YAML files and on the command line (`--training.lora_r 8`). *Level* says from
which level of the form on it is shown. *Coming* settings are declared and locked: they do nothing yet. Values come
from, each over the one before: the defaults below, the problem type, what the backbone recommends, the preset, the YAML
file, the command line.
"""


def reference() -> str:
    """The page as Markdown."""
    parts = [HEAD, "## Presets\n"]
    parts += [f"- **{preset.title}** (`{name}`): {preset.help}" for name, preset in PRESETS.items()]
    parts.append("")
    heading = ""
    for info in all_settings():
        title = section_title(info)
        if title != heading:
            heading = title
            parts.append(f"## {title}\n")
        parts.append(entry(info))
    return "\n".join(parts).rstrip() + "\n"


def section_title(info: SettingInfo) -> str:
    """The heading a setting stands under."""
    return "Data set (its own settings)" if info.scope == "dataset" else info.section.capitalize()


def entry(info: SettingInfo) -> str:
    """One setting: its name, its facts, its sentence."""
    facts = [info.kind + (f", {info.unit}" if info.unit else ""), f"default `{shown(info.default)}`"]
    if info.limits:
        facts.append(info.limits)
    facts += [info.level, f"of the {'data set' if info.scope == 'dataset' else 'experiment'}"]
    if info.visible_when:
        facts.append(f"shown when {info.visible_when.words}")
    mark = " *(coming)*" if info.status == "coming" else ""
    return f"### `{info.path}` - {info.title}{mark}\n\n{info.help}\n\n{'; '.join(facts)}.\n"


def shown(value: object) -> str:
    """A default as it stands in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value).replace("'", '"') if isinstance(value, str) else str(value)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
