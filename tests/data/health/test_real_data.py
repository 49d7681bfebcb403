"""On real data the checks find what is there to be seen, and raise few false alarms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_studio.config import DatasetSettings
from llm_studio.data import open_dataset
from llm_studio.data.connectors import SourceFile
from llm_studio.data.health.report import Report, examine
from llm_studio.data.prepare import prepare
from llm_studio.data.staging import read_into_staging
from llm_studio.starter import SAMPLES, Sample
from tests.data.health.conftest import quiet


def examined(file: Path, folder: Path, **shape: Any) -> Report:
    read_into_staging(folder, SourceFile(file, file.name), None, "a test", quiet)
    prepare(folder, DatasetSettings(**shape), leave_out=False)
    return examine(open_dataset(folder), quiet)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_samples_of_the_studio_have_no_findings(sample: Sample, tmp_path: Path) -> None:
    if sample.answer_column:
        shape: dict[str, Any] = {"prompt_column": sample.prompt_columns, "answer_column": sample.answer_column}
    else:
        shape = {"layout": "messages", "messages_column": "messages"}
    assert [one.what for one in examined(sample.path, tmp_path / "set", **shape).findings] == []


def test_gsm8k_has_no_findings(shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    file = shared_file("gsm8k_train.jsonl")
    report = examined(file, tmp_path / "set", prompt_column=("question",), answer_column="answer")
    assert [one.what for one in report.findings] == []


def test_alpaca_has_the_findings_that_reading_it_shows(shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    file = shared_file("alpaca_en_demo.json")
    report = examined(file, tmp_path / "set", prompt_column=("instruction", "input"), answer_column="output")
    found: dict[str, int] = {}
    for one in report.findings:
        name = one.name.removesuffix(f"-{one.part}")
        found[name] = found.get(name, 0) + one.count
    # Read by eye: 14 repeated rows, 28 answers of an AI about itself, 3 that stop in mid-sentence, 1 address.
    assert found.pop("duplicates") == 14
    assert 20 <= found.pop("refusals-as_ai") + found.pop("refusals") <= 32
    assert found.pop("cut_off") == 3
    assert found.pop("personal_data-e_mail") == 1
    assert found.pop("short_answers-one_word") <= 15
    assert found == {}
