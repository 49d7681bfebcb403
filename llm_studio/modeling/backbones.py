"""The backbones a user can choose from, and what is known of one at the moment it is chosen, before anything starts.

Imports neither torch nor transformers, so that a page can use it.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from llm_studio.config.facts import BackboneFacts, BackboneSource
from llm_studio.errors import UserError
from llm_studio.modeling.facts import WEIGHTS, count_parameters, facts_from_folder, missing_shards, nearest
from llm_studio.modeling.hub import facts_from_hub

STARTER = "starter"
FRESH_SECONDS = 300.0  # how long an answer of the Hub is believed
FRESH_ERROR_SECONDS = 15.0
MOST_LOCAL = 200


@dataclass(frozen=True)
class Backbone:
    """One line of the list; `name` is what the setting llm_backbone holds."""

    name: str
    title: str
    source: BackboneSource
    parameters: int | None = None
    recommended: dict[str, Any] = field(default_factory=dict)


def list_backbones(folders: Sequence[Path] = ()) -> tuple[Backbone, ...]:
    """The starter, models in `folders` (the allowed ones) and in the local cache of the Hub; no network."""
    return (_starter(), *_local(folders), *_cached())


def check_backbone(
    name: str,
    *,
    revision: str = "",
    token: str | None = None,
    trust_remote_code: bool = False,
    endpoint: str | None = None,
    folders: Sequence[Path] | None = None,
) -> BackboneFacts:
    """What is known of a backbone. A model on this machine needs no network; others take at most some seconds.

    folders: where local models may lie; None allows every folder (the command line, whose user may read it anyway).

    Raises:
        UserError: it cannot be used: wrong name, gated, offline, no config.json, not a causal language model, or it
            runs code of its own.
    """
    name = name.strip()
    key = (name, revision, token, trust_remote_code, endpoint, None if folders is None else tuple(folders))
    if (kept := _ANSWERS.get(key)) is not None:
        return kept
    try:
        facts = _check(name, revision, token, trust_remote_code, endpoint, folders)
    except UserError as error:
        _ANSWERS.put(key, error, FRESH_ERROR_SECONDS)
        raise
    _ANSWERS.put(key, facts, FRESH_SECONDS)
    return facts


def _check(
    name: str,
    revision: str,
    token: str | None,
    trust_remote_code: bool,
    endpoint: str | None,
    folders: Sequence[Path] | None,
) -> BackboneFacts:
    if not name:
        raise UserError("No backbone is chosen.", where="backbone", fix="Choose one from the list.")
    if name == STARTER:
        found = _starter()
        return facts_from_folder(name, _starter_folder(), source="starter", recommended=found.recommended)
    if is_path(name):
        folder = local_folder(name, folders)
        return facts_from_folder(name, folder, source="local", trust_remote_code=trust_remote_code)
    snapshot = cached_snapshot(name, revision)
    if snapshot is not None:
        return facts_from_folder(name, snapshot, source="hub cache", trust_remote_code=trust_remote_code)
    return facts_from_hub(
        name,
        revision=revision,
        token=token,
        trust_remote_code=trust_remote_code,
        endpoint=endpoint,
        known=[backbone.name for backbone in list_backbones(folders or ())],
    )


def is_path(name: str) -> bool:
    """Whether a backbone's name is a folder of this machine; names of the Hub never look like this."""
    return name.startswith(("/", "~", "./", "../", "\\")) or (len(name) > 2 and name[1] == ":")


def local_folder(name: str, folders: Sequence[Path] | None) -> Path:
    """The folder, once links are followed.

    Raises:
        UserError: it is not in an allowed folder, or is not there.
    """
    folder = Path(name).expanduser().resolve()
    where = f"backbone {name}"
    if folders is not None and not any(folder.is_relative_to(allowed.resolve()) for allowed in folders):
        listed = ", ".join(map(str, folders))
        fix = f"Move the model into one of: {listed}." if listed else "Allow its folder under Settings first."
        raise UserError(f"{name} is not in a folder that may be read.", where=where, fix=fix)
    if not folder.is_dir():
        names = [str(found.name) for found in _local(folders or (folder.parent,))]
        raise UserError(f"There is no folder {name}.", where=where, fix=nearest(name, names))
    return folder


def folder_of(name: str, revision: str = "") -> Path | None:
    """Where the weights of a backbone lie on this machine; None when they would have to be fetched."""
    if name == STARTER:
        return _starter_folder()
    return Path(name).expanduser() if is_path(name) else cached_snapshot(name, revision)


# ---- where models lie ------------------------------------------------------------------------------------------------


def _starter_folder() -> Path:
    from llm_studio.starter import BACKBONE

    return Path(BACKBONE)


@lru_cache(maxsize=1)
def _starter() -> Backbone:
    from llm_studio.starter import RECOMMENDED

    folder = _starter_folder()
    return Backbone(
        STARTER,
        "Starter (bundled)",
        "starter",
        parameters=count_parameters(folder.glob("*.safetensors")),
        recommended=dict(RECOMMENDED),
    )


def _local(folders: Sequence[Path]) -> Iterator[Backbone]:
    """Folders with a config.json and weights, in the allowed folders and two levels below."""
    found = 0
    for allowed in folders:
        for pattern in ("config.json", "*/config.json", "*/*/config.json"):
            for config in sorted(allowed.resolve().glob(pattern)):
                folder = config.parent
                hidden = any(part.startswith(".") for part in folder.relative_to(allowed.resolve()).parts)
                if hidden or found >= MOST_LOCAL or not any(p.name.endswith(WEIGHTS) for p in folder.iterdir()):
                    continue
                found += 1
                yield Backbone(str(folder), folder.name, "local", _counted(folder))


def _cached() -> Iterator[Backbone]:
    """Models of the Hub whose files are on this machine."""
    for name, snapshot in _snapshots():
        if (snapshot / "config.json").is_file() and any(p.name.endswith(WEIGHTS) for p in snapshot.iterdir()):
            yield Backbone(name, name, "hub cache", _counted(snapshot))


def _counted(folder: Path) -> int | None:
    try:
        return count_parameters(folder.glob("*.safetensors"))
    except (UserError, OSError):
        return None  # the list stays whole; choosing this one says what is wrong


def _snapshots() -> Iterator[tuple[str, Path]]:
    """Names of cached models with the folder of their newest revision."""
    cache = _hub_cache()
    for repository in sorted(cache.glob("models--*")):
        name = repository.name.removeprefix("models--").replace("--", "/")
        folders = [folder for folder in (repository / "snapshots").glob("*") if folder.is_dir()]
        if folders:
            yield name, max(folders, key=lambda folder: folder.stat().st_mtime)


def cached_snapshot(name: str, revision: str = "") -> Path | None:
    """The folder of a cached model, if its weights are complete; None when something would have to be fetched."""
    repository = _hub_cache() / f"models--{name.replace('/', '--')}"
    if not name or ".." in name or not repository.is_dir():
        return None
    reference = repository / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    if not commit or not (snapshot / "config.json").is_file():
        return None
    weights = any(path.name.endswith(WEIGHTS) and path.exists() for path in snapshot.iterdir())
    return snapshot if weights and not missing_shards(snapshot) else None


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


# ---- answers kept for a while ----------------------------------------------------------------------------------------


class _Answers:
    """Facts and errors by question, each for some time, so that a form that checks as the user types stays fast."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[float, BackboneFacts | UserError]] = {}
        self._lock = threading.Lock()

    def get(self, key: object) -> BackboneFacts | None:
        with self._lock:
            until, answer = self._kept.get(key, (0.0, None))
        if answer is None or time.monotonic() > until:
            return None
        if isinstance(answer, UserError):
            raise UserError(answer.what, where=answer.where, fix=answer.fix)
        return answer

    def put(self, key: object, answer: BackboneFacts | UserError, seconds: float) -> None:
        with self._lock:
            if len(self._kept) > 500:
                self._kept.clear()
            self._kept[key] = (time.monotonic() + seconds, answer)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()


_ANSWERS = _Answers()


def forget_answers() -> None:
    """Ask again next time: after a token was added or a model was fetched."""
    _ANSWERS.forget()
