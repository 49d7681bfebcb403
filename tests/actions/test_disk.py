"""Disk use: counted by kind, freed without losing work."""

from pathlib import Path

import pytest

from llm_studio.actions.disk import disk_use, free_space
from llm_studio.store import Home, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.create()
    return Store.open(home)


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0" * size)
    return path


def experiment(store: Store) -> str:
    dataset = store.datasets.create(
        name="d", settings={}, row_count=1, train_rows=1, validation_rows=0, fingerprint="f", source="s", size_bytes=1,
        problem_type="causal_lm",
    )  # fmt: skip
    return store.experiments.create(
        "a: 1\n", name="e", dataset_id=dataset.id, backbone="starter", problem_type="causal_lm", device="cpu"
    ).id


def test_counts_each_kind(store: Store) -> None:
    home, experiment_id = store.home, experiment(store)
    folder = home.experiment(experiment_id)
    write(home.datasets / "x" / "rows.parquet", 100)
    write(home.cache / "tokens" / "a", 20)
    write(home.uploads / "u.csv", 3)
    write(home.staging / "s" / "t", 4)
    write(folder / "checkpoints" / "best" / "w", 1000)
    write(folder / "checkpoints" / "resume" / "o", 2000)
    write(folder / "export" / "a.zip", 500)
    (home.cache / "link").symlink_to(home.datasets)
    use = disk_use(store)
    (one,) = use.experiments
    assert (use.datasets_bytes, use.cache_bytes, use.uploads_bytes) == (100, 20, 7)
    assert (one.checkpoints_bytes, one.resume_bytes, one.exports_bytes) == (1000, 2000, 500)
    assert one.total_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert use.checkpoints_bytes == 3000 and use.total_bytes > use.free_bytes > 0


def test_freeing_takes_only_its_kind(store: Store) -> None:
    home, experiment_id = store.home, experiment(store)
    weights = write(home.experiment(experiment_id) / "checkpoints" / "best" / "w", 1000)
    write(home.experiment(experiment_id) / "export" / "a.zip", 500)
    write(home.cache / "tokens" / "a", 20)
    write(home.uploads / "u.csv", 3)
    rows = write(home.datasets / "x" / "rows.parquet", 100)
    assert [free_space(store, kind) for kind in ("cache", "uploads", "exports")] == [20, 3, 500]
    assert [free_space(store, kind) for kind in ("cache", "uploads", "exports")] == [0, 0, 0]
    assert weights.exists() and rows.exists()


def test_freeing_follows_no_link(store: Store, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "precious", 10)
    (store.home.cache / "link").symlink_to(outside.parent)
    free_space(store, "cache")
    assert outside.exists()


def test_a_running_import_keeps_its_files(store: Store) -> None:
    upload = write(store.home.uploads / "u.csv", 3)
    job = store.jobs.create("import_read", {"source": {"kind": "upload", "path": str(upload), "name": "u.csv"}})
    staged = write(store.home.staging / job.id / "rows", 3)
    assert free_space(store, "uploads") == 0 and upload.exists() and staged.exists()
    store.jobs.finish(job.id, "cancelled")
    assert free_space(store, "uploads") == 6


def test_an_unknown_kind_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        free_space(store, "everything")
