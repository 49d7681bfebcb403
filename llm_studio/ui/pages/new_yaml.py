"""The side panel with the settings as YAML: read, download, paste or upload."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from h2o_wave import ui

from llm_studio.config import ExperimentConfig, Loaded, from_yaml, to_yaml
from llm_studio.errors import UserError
from llm_studio.store import Home
from llm_studio.ui import build
from llm_studio.ui.page import Outcome, panel
from llm_studio.ui.uploads import take_upload

TEXT, FILE = "yaml_text", "yaml_file"
LARGEST_BYTES = 1_000_000


def open_panel(config: ExperimentConfig) -> Outcome:
    """The settings as they are, and two ways to bring others."""
    return panel(
        "Settings as YAML",
        build.row(
            build.button("yaml_download", "Download YAML"),
            build.paragraph("The same file works with llm-studio train on the command line.", quiet=True),
        ),
        ui.separator(name="yaml_or", label="or take settings from a file"),
        ui.file_upload(
            name=FILE,
            label="Upload YAML",
            compact=True,
            file_extensions=["yaml", "yml"],
            max_file_size=1,
            tooltip="A config of this studio or of H2O LLM Studio, at most 1 MB.",
        ),
        build.text_area(
            TEXT,
            "Or paste YAML",
            "",
            tooltip="Settings that it names replace yours; the page lists what was taken over and what was not.",
            height="180px",
            placeholder="training:\n  epochs: 2",
        ),
        build.button("use_yaml", "Use this YAML"),
        build.heading("The settings now"),
        build.code("yaml_now", to_yaml(config)),
    )


def brought(home: Home, draft: dict[str, Any]) -> tuple[str, str]:
    """The YAML that was uploaded or pasted, and what to call it.

    Raises:
        UserError: there is neither, or the file is no text.
    """
    urls = draft.pop(FILE, None) or []
    if urls:
        upload = take_upload(home, str(urls[0]))
        try:
            return file_text(upload.path, upload.name), upload.name
        finally:
            upload.path.unlink(missing_ok=True)
    typed = str(draft.get(TEXT) or "")
    if not typed.strip():
        raise UserError("There is no YAML yet.", where="YAML", fix="Upload a file, or paste its text.")
    draft.pop(TEXT)
    return typed, "the pasted YAML"


def file_text(path: Path, name: str) -> str:
    """The text of a small file."""
    if path.stat().st_size > LARGEST_BYTES:
        raise UserError(f"{name} is too large for a config.", where=name, fix="Choose a config file of under 1 MB.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{name} is not text in UTF-8.", where=name, fix="Save the file as UTF-8.") from None


def read(yaml: str, name: str) -> tuple[Loaded, Mapping[str, Any]]:
    """What the YAML says, and the lists that the page shows."""
    loaded = from_yaml(yaml)
    report = {key: list(getattr(loaded, key)) for key in ("taken", "renamed", "replaced", "unknown")}
    return loaded, {"name": name, **report}
