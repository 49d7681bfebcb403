"""Grades of a judge on the pages: shown with their reasons where there are some, and no trace of them elsewhere."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.actions.judging import ADDRESS, KEY
from llm_studio.cli import main
from llm_studio.store import DatasetRecord, ExperimentRecord, Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.ui.diff import components
from llm_studio.ui.pages import compare, experiment, experiments
from tests.support.experiments import BEFORE, BEST, HOSTILE, LAST, add
from tests.support.new_page import Tab as NewTab
from tests.support.tab import Tab, shown
from tests.ui.test_experiment_pages import dataset

__all__ = ["dataset"]


def judged(store: Store, dataset: DatasetRecord, name: str, model: str = "grader", **grades: Any) -> ExperimentRecord:
    record = add(store, dataset, name, **{"prediction.metric": "gpt", "prediction.metric_gpt_model": model})
    scores: dict[str, Any] = {
        "before": BEFORE | {"gpt": 0.25, "judged_rows": 40, "generated_rows": 40},
        "last": LAST | {"gpt": None, "judged_rows": 3, "generated_rows": 40},
        "best": BEST | {"gpt": 0.75, "judged_rows": 38, "generated_rows": 40},
    }
    store.experiments.update(record.id, scores=scores)
    folder = store.home.experiment(record.id)
    charts = ChartsDb(folder)
    charts.append("evaluation", LAST | {"step": 61, "gpt": 0.5})
    charts.close()
    for step in (0, 60):
        path = folder / "predictions" / f"{step:08d}.parquet"
        rows = [
            row | {"judged": None if row["row"] == 7 else row["row"] / 40, "judge_reason": f"Because {HOSTILE}"}
            for row in parquet.read_table(path).to_pylist()
        ]
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return store.experiments.get(record.id)


def test_without_grades_nothing_speaks_of_them(
    store: Store, dataset: DatasetRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = add(store, dataset, "first"), add(store, dataset, "second")
    tabs = [Tab(store, experiments.PAGE), Tab(store, compare.PAGE, f"{first.id},{second.id}")]
    tabs += [Tab(store, experiment.PAGE, first.id, name) for name in ("overview", "samples")]
    for tab in tabs:
        assert "judge" not in tab.text().lower()
    assert "judge" not in shown(tabs[-1].act("samples", ["7"])).lower()
    monkeypatch.setenv("LLM_STUDIO_HOME", str(store.home.path))
    for command in (["experiment", "list"], ["experiment", "show", "first"]):
        assert main(command) == 0
    assert "judge" not in capsys.readouterr().out


def test_grades_are_in_the_list_the_score_card_and_the_charts(
    store: Store, dataset: DatasetRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = judged(store, dataset, "one")
    text = Tab(store, experiments.PAGE).text()
    assert '"Judge"' in text and "0\\\\.750" in text and "untuned 0\\\\.250" in text
    overview = Tab(store, experiment.PAGE, record.id).text()
    assert "Judge 0.250 → 0.750" in overview or "judge 0.250 → 0.750" in overview
    assert "the judge graded 38 of the answers" in overview
    assert "mean grade of the answers" in overview and "chart_gpt" in overview
    monkeypatch.setenv("LLM_STUDIO_HOME", str(store.home.path))
    add(store, dataset, "two")
    store.experiments.update(record.id, scores={"last": LAST | {"gpt": 0.625}})
    assert main(["experiment", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert "judge" in head and [("0.62" in row) for row in rows] == [False, True]


def test_samples_show_the_grade_and_its_reason_as_plain_text(store: Store, dataset: DatasetRecord) -> None:
    record = judged(store, dataset, "one")
    tab = Tab(store, experiment.PAGE, record.id, "samples")
    table = next(more for dump in tab.dumps() for kind, more in components(dump) if kind == "table")
    assert [column["label"] for column in table["columns"]][-2:] == ["Judge", "Its reason"]
    tab.act("samples", {"judged": False}, "sort")
    first = next(more for dump in tab.dumps() for kind, more in components(dump) if kind == "table")["rows"][0]
    assert "0.975" in first["cells"]
    whole = shown(tab.act("samples", ["7"]))
    assert "What the judge says" in whole and "Because &lt;img" in whole and "<img" not in whole
    assert "Judge before tuning" in whole


def test_comparing_says_when_grades_come_from_different_judges(store: Store, dataset: DatasetRecord) -> None:
    first, second = judged(store, dataset, "first"), judged(store, dataset, "second")
    third, plain = judged(store, dataset, "third", model="stricter"), add(store, dataset, "plain")
    different = "graded by different judge models or prompts"
    for ids, warned in (((first, second), False), ((first, plain), False), ((first, third), True)):
        text = Tab(store, compare.PAGE, ",".join(one.id for one in ids)).text()
        assert "Judge" in text and (different in text) == warned


def test_choosing_the_judge_asks_for_its_model_and_says_where_the_texts_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    import_dataset(store, {"kind": "starter", "name": "orders_to_json"})
    tab = NewTab(store)
    model = "cfg/prediction.metric_gpt_model"
    assert not tab.parts[model]["visible"]
    tab.press("cfg/prediction.metric", prediction__metric="gpt")
    assert tab.parts[model]["visible"] and tab.parts["cfg/prediction.metric_gpt_template"]["visible"]
    said = json.dumps(tab.cards["remarks"])
    assert "needs a judge model" in said and "api.openai.com needs a key" in said
    store.secrets.set(KEY, "sk-1")
    tab.press(model, prediction__metric_gpt_model="grader")
    said = json.dumps(tab.cards["remarks"])
    assert "are sent to api.openai.com" in said and not tab.data.errors
    store.preferences.set(ADDRESS, "http://127.0.0.1:9/v1")
    tab.show()
    assert "are sent to" not in json.dumps(tab.cards)
