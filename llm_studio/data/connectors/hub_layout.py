"""Which files of a Hub data set make up which config and split, from its README and the names of its files.

Follows https://huggingface.co/docs/hub/datasets-data-files-configuration for data files; nothing of it is run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from llm_studio.data.reading import EXTENSIONS
from llm_studio.data.reading.formats import PLAIN_KIND
from llm_studio.errors import UserError

Splits = dict[str, tuple[str, ...]]
"""Files by split."""


@dataclass(frozen=True)
class Layout:
    """Splits by config, and the config to take when none is named."""

    configs: dict[str, Splits]
    default: str = "default"


NOT_DATA = {"dataset_infos.json", "dataset_dict.json", "dataset_info.json", "state.json", "config.json"}
SPLITS = {"train": r"train(ing)?", "validation": r"valid(ation)?|val|dev", "test": r"test(ing)?|eval(uation)?"}
SHARD = re.compile(r"-\d{5}-of-\d{5}.*$")


def is_data(file: str) -> bool:
    """Whether a file holds rows; packed with gzip counts."""
    parts = file.removesuffix(".gz").split("/")
    suffix = "." + parts[-1].rsplit(".", 1)[-1].lower()
    kind = EXTENSIONS.get(suffix, PLAIN_KIND)  # texts of a repository explain it more often than they are its data
    return kind != PLAIN_KIND and parts[-1] not in NOT_DATA and not any(part.startswith((".", "_")) for part in parts)


def layout_of(files: Sequence[str], readme: str) -> Layout:
    """Files by config and split: what the README declares, else what the names say; empty when there is no data."""
    data = sorted(file for file in files if is_data(file))
    declared = declared_configs(readme, data)
    if declared.configs:
        return declared
    kinds = [file.removesuffix(".gz").rsplit(".", 1)[-1].lower() for file in data]
    if not kinds:
        return Layout({})
    most = max(sorted(set(kinds)), key=kinds.count)
    return Layout({"default": by_split([file for file, kind in zip(data, kinds, strict=True) if kind == most])})


def converted_layout(files: Sequence[str]) -> Layout:
    """The Hub's own Parquet copy of a data set: config/split/0000.parquet."""
    found: dict[str, Splits] = {}
    for file in sorted(files):
        parts = file.split("/")
        if len(parts) == 3 and is_data(file):
            config = found.setdefault(parts[0], {})
            config[parts[1]] = (*config.get(parts[1], ()), file)
    return Layout(found)


def by_split(files: Sequence[str]) -> Splits:
    """Files by the split that their names or folders say; all are "train" when none says any."""
    found: Splits = {}
    for file in files:
        words = re.split(r"[^a-z]+", SHARD.sub("", file.lower()))
        for split, pattern in SPLITS.items():
            if any(re.fullmatch(pattern, word) for word in words):
                found[split] = (*found.get(split, ()), file)
                break
    return found or {"train": tuple(files)}


def declared_configs(readme: str, data: Sequence[str]) -> Layout:
    """What the block at the top of the README says under `configs`."""
    block = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", readme, re.DOTALL)
    try:
        head = yaml.safe_load(block[1]) if block else None
    except yaml.YAMLError:
        return Layout({})
    configs = head.get("configs") if isinstance(head, dict) else None
    found: dict[str, Splits] = {}
    default = "default"
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and (splits := declared_splits(config, data)):
            name = str(config.get("config_name", "default"))
            found[name] = splits
            default = name if config.get("default") is True else default
    return Layout(found, default)


def declared_splits(config: Mapping[str, Any], data: Sequence[str]) -> Splits:
    """The splits of one declared config."""
    folder = str(config.get("data_dir") or "").strip("/")
    inside = [file for file in data if not folder or file.startswith(f"{folder}/")]
    declared = config.get("data_files")
    if declared is None:
        return by_split(inside) if inside else {}
    entries = declared if isinstance(declared, list) else [declared]
    found: Splits = {}
    for entry in entries:
        split, path = (entry.get("split", "train"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        for pattern in path if isinstance(path, list) else [path]:
            wanted = as_regex(f"{folder}/{pattern}" if folder else str(pattern))
            matching = tuple(file for file in data if wanted.fullmatch(file))
            if matching:
                before = found.get(str(split), ())
                found[str(split)] = (*before, *(file for file in matching if file not in before))
    return found


def as_regex(pattern: str) -> re.Pattern[str]:
    """A pattern such as data/**/train-*.parquet; * stays within a folder, ** does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))


def choose(layout: Layout, config: str, split: str, where: str) -> tuple[str, str, tuple[str, ...]]:
    """Config, split and files as asked for, or the only or usual ones.

    Raises:
        UserError: there is no such config or split, or several to choose from; the text lists them.
    """
    config = chosen(list(layout.configs), config, usual=layout.default, what="config", where=where)
    splits = layout.configs[config]
    split = chosen(list(splits), split, usual="train", what="split", where=where)
    return config, split, splits[split]


def chosen(names: Sequence[str], wanted: str, *, usual: str, what: str, where: str) -> str:
    """One of the names."""
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if wanted:
        if wanted not in names:
            raise UserError(f"There is no {what} {wanted!r}.", where=where, fix=f"Take one of: {listed}.")
        return wanted
    if len(names) == 1 or usual in names:
        return names[0] if len(names) == 1 else usual
    raise UserError(f"There are {len(names)} {what}s to choose from.", where=where, fix=f"Take one of: {listed}.")
