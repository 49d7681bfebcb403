"""The whole way of an export: asked for, built by the real data-job process, and ready to download."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llm_studio.actions.exports import start_export
from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from tests.support.tuned import make_backbone, make_experiment


def test_the_data_job_builds_the_file_and_its_result_says_how_equal_it_is(tmp_path: Path) -> None:
    store = Store.open(Home(tmp_path / "home"))
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), name="Orders")
    job = start_export(store, record.id, "merged")
    assert store.jobs.claim(job.id)
    command = [sys.executable, "-m", "llm_studio.worker.data_job", job.id, "--home", str(store.home.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = store.jobs.get(job.id)
    assert found.status == "done" and found.result
    assert found.result["filename"] == "Orders-merged.zip"
    assert found.result["equality"]["sentence"] in done.stdout
    with zipfile.ZipFile(found.result["path"]) as archive:
        names = archive.namelist()
        assert "Orders-merged/model.safetensors" in names
        assert json.loads(archive.read("Orders-merged/equality.json"))["equal"]
        assert found.result["equality"]["sentence"] in archive.read("Orders-merged/README.md").decode()
    assert start_export(store, record.id, "merged").id != job.id  # the old one has ended
    store.close()


def test_what_cannot_be_exported_is_said_before_anything_starts(tmp_path: Path) -> None:
    store = Store.open(Home(tmp_path / "home"))
    record = make_experiment(store, make_backbone(tmp_path / "backbone"))
    with pytest.raises(UserError, match="no export 'gguf'"):
        start_export(store, record.id, "gguf")
    with pytest.raises(UserError, match="There is no experiment"):
        start_export(store, "0000000000", "merged")
    assert store.jobs.list(kind="export") == []
    store.close()
