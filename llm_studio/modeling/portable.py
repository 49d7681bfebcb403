"""Files that other programs read: tokenizer and config for transformers 4 and 5 alike, notes, zip files."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_studio.modeling.facts import read_json

CHUNK_BYTES = 4 * 1024 * 1024
Report = Callable[[float | None, str], None]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Indented, as these files are usually written."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_tokenizer_readable(folder: Path, chat_template: str) -> None:
    """transformers 5 writes a tokenizer class and a name for special tokens that 4 does not know; both know these."""
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    if settings.get("tokenizer_class") in (None, "TokenizersBackend"):
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings.pop("backend", None)
    settings.pop("is_local", None)
    extra = settings.pop("extra_special_tokens", None)
    if isinstance(extra, list) and extra:
        settings["additional_special_tokens"] = extra
    elif isinstance(extra, dict) and extra:
        settings["extra_special_tokens"] = extra
    settings.setdefault("model_input_names", ["input_ids", "attention_mask"])  # 4 adds token_type_ids to these classes
    settings["chat_template"] = chat_template
    write_json(path, settings)
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")


def make_config_readable(folder: Path) -> None:
    """transformers 4 looks for `rope_theta` and `torch_dtype` where 5 writes `rope_parameters` and `dtype`."""
    path = folder / "config.json"
    config = read_json(path)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict):
        if "rope_theta" in rope:
            config.setdefault("rope_theta", rope["rope_theta"])
        if rope.get("rope_type", "default") != "default":
            config.setdefault("rope_scaling", {name: value for name, value in rope.items() if name != "rope_theta"})
    if "dtype" in config:
        config.setdefault("torch_dtype", config["dtype"])
    config.pop("_name_or_path", None)
    write_json(path, config)


def safe_name(name: str) -> str:
    """A file name of letters, digits, dots and dashes; never empty, never a path."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-")[:60] or "model"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well, and is removed when it does not."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_zip(target: Path, folder: Path, inside: str, report: Report, *, begin: float, end: float) -> None:
    """Put the files of a folder into a zip, under the folder `inside`, piece by piece; weights are not compressed.

    report is told shares from `begin` to `end`.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total, done = max(1, sum(path.stat().st_size for path in files)), 0
    with replacing(target) as part, zipfile.ZipFile(part, "w", allowZip64=True) as archive:
        for path in files:
            packed = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            entry = zipfile.ZipInfo.from_file(path, f"{inside}/{path.relative_to(folder)}")
            entry.compress_type = packed
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                while piece := source.read(CHUNK_BYTES):
                    sink.write(piece)
                    done += len(piece)
                    report(begin + (end - begin) * done / total, "Writing the zip file")
