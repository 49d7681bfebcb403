"""The health report of 100,000 conversations: seconds from the data set on disk to the report."""

import json
import tempfile
import time
from pathlib import Path

from llm_studio.config import DatasetSettings
from llm_studio.data import open_dataset
from llm_studio.data.connectors import SourceFile
from llm_studio.data.health.report import examine, save
from llm_studio.data.prepare import prepare
from llm_studio.data.staging import read_into_staging
from tests.data.planted import plant

ROWS = 100_000
PLANTED = 2_000
BAR_SECONDS = 120


def quiet(share: float | None, words: str) -> None:
    """Hears the report and says nothing."""


def run() -> dict[str, object]:
    """Bar: 120 s for all checks; the prompts are the first 20 words of planted texts of 300 to 1,000 characters."""
    with tempfile.TemporaryDirectory() as made:
        folder, path = Path(made) / "set", Path(made) / "rows.jsonl"
        words = [text.split() for text in plant(ROWS, PLANTED, wanted=0.8).texts]
        lines = [json.dumps({"q": " ".join(one[:20]) + "?", "a": " ".join(one[20:]) + "."}) for one in words]
        path.write_text("\n".join(lines))
        read_into_staging(folder, SourceFile(path, path.name), None, "a benchmark", quiet)
        prepare(folder, DatasetSettings(prompt_column=("q",), answer_column="a"), leave_out=True)
        began = time.monotonic()
        report = examine(open_dataset(folder), quiet)
        save(report, folder)
        seconds = time.monotonic() - began
    found = sum(one.count for one in report.findings if one.check == "near_duplicates")
    result: dict[str, object] = {"rows": ROWS, "seconds": round(seconds, 1), "near_duplicates": found}
    print(f"{'rows':>10}{'seconds':>10}{'near-duplicates':>18}\n{ROWS:>10,}{seconds:>10.1f}{found:>18,}")
    print(f"bar: {BAR_SECONDS} s; {PLANTED:,} near-duplicates are planted")
    return result
