"""What the studio takes on the disk, by kind, and what of it can be given back without losing work."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llm_studio.store import Store

REMADE = ("cache", "uploads", "exports")


@dataclass(frozen=True, kw_only=True)
class ExperimentUse:
    """One experiment's folder, in bytes. resume: the trainer state from which it can be continued."""

    id: str
    name: str
    status: str
    checkpoints_bytes: int
    resume_bytes: int
    exports_bytes: int
    rest_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.checkpoints_bytes + self.resume_bytes + self.exports_bytes + self.rest_bytes


@dataclass(frozen=True, kw_only=True)
class DiskUse:
    """Bytes by kind, and the space of the disk that holds the studio's home."""

    datasets_bytes: int
    cache_bytes: int
    uploads_bytes: int
    experiments: tuple[ExperimentUse, ...]
    free_bytes: int
    total_bytes: int

    @property
    def exports_bytes(self) -> int:
        """Adapters and merged models packed for download."""
        return sum(one.exports_bytes for one in self.experiments)

    @property
    def checkpoints_bytes(self) -> int:
        """Weights and trainer states."""
        return sum(one.checkpoints_bytes + one.resume_bytes for one in self.experiments)

    @property
    def experiments_bytes(self) -> int:
        """All experiments' folders."""
        return sum(one.total_bytes for one in self.experiments)


def disk_use(store: Store) -> DiskUse:
    """Measured now; walks every folder of the home once."""
    home = store.home
    disk = shutil.disk_usage(home.path)
    experiments = [
        _experiment(home.experiment(one.id), one.id, one.name, one.status) for one in store.experiments.list()
    ]
    return DiskUse(
        datasets_bytes=_size(home.datasets),
        cache_bytes=_size(home.cache),
        uploads_bytes=_size(home.uploads) + _size(home.staging),
        experiments=tuple(sorted(experiments, key=lambda one: -one.total_bytes)),
        free_bytes=disk.free,
        total_bytes=disk.total,
    )


def free_space(store: Store, kind: str) -> int:
    """Delete what can be made again; returns the bytes that came free.

    kind: "cache" (token ids, scores of untouched backbones), "uploads" (files of imports that were not finished; those
    of a running import stay), "exports" (packed adapters and merged models).
    """
    if kind == "cache":
        folders: Iterable[Path] = _entries(store.home.cache)
    elif kind == "uploads":
        busy = _in_use(store)
        folders = [path for place in (store.home.uploads, store.home.staging) for path in _entries(place)]
        folders = [path for path in folders if path.name not in busy and str(path) not in busy]
    elif kind == "exports":
        exporting = {job.subject for job in store.jobs.list(kind="export", active=True)}
        experiments = [one for one in store.experiments.list() if one.id not in exporting]
        folders = [path for one in experiments for path in _entries(store.home.experiment(one.id) / "export")]
    else:
        raise ValueError(f"kind must be one of {REMADE}, not {kind!r}")
    return sum(_remove(path) for path in folders)


def _in_use(store: Store) -> set[str]:
    """Ids of running imports and the paths they read."""
    busy: set[str] = set()
    for job in store.jobs.list(active=True):
        busy |= {job.id, job.subject}
        source = job.params.get("source")
        if isinstance(source, dict) and source.get("path"):
            busy.add(str(source["path"]))
    return busy


def _experiment(folder: Path, experiment_id: str, name: str, status: str) -> ExperimentUse:
    checkpoints = _size(folder / "checkpoints")
    resume = _size(folder / "checkpoints" / "resume")
    exports = _size(folder / "export")
    return ExperimentUse(
        id=experiment_id,
        name=name,
        status=status,
        checkpoints_bytes=checkpoints - resume,
        resume_bytes=resume,
        exports_bytes=exports,
        rest_bytes=_size(folder) - checkpoints - exports,
    )


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    """Bytes of the files below; links count nothing, files that vanish meanwhile neither."""
    total = 0
    places = [path]
    while places:
        try:
            with os.scandir(places.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        places.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


def _remove(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        size = _size(path)
        shutil.rmtree(path, ignore_errors=True)
        return size
    size = path.lstat().st_size
    path.unlink(missing_ok=True)
    return size
