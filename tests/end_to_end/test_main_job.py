"""The main job as a person does it: import, tune, watch it learn, compare, talk to it, stop one, download, delete."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.steps import button, choose, part
from tests.support.browser import ROOT, Studio

ALPACA = ROOT.parent / "shared" / "data" / "alpaca_en_demo.json"
EXPERIMENT_SECONDS = 420
CHAT_SECONDS = 90

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def alpaca_sample(folder: Path) -> Path:
    """The first 100 rows, cut to lengths that a small model reads in a test."""
    rows = json.loads(ALPACA.read_text(encoding="utf-8"))
    short = [row for row in rows if len(row["instruction"]) + len(row["input"]) + len(row["output"]) < 300][:100]
    assert len(short) == 100
    path = folder / "alpaca sample.json"
    path.write_text(json.dumps(short), encoding="utf-8")
    return path


def import_file(studio: Studio, page: Any, path: Path) -> str:
    """Upload, change a column, set it back, finish; the data set's id."""
    studio.open(page, "#import")
    page.set_input_files("#upload", path)
    button(page, "Upload and read").click()
    part(page, "columns_card").wait_for()
    first = page.locator(".ls-bubble-user").first.inner_text()
    choose(page, studio, "set/answer_column", "instruction")
    assert page.locator(".ls-bubble-user").first.inner_text() != first
    choose(page, studio, "set/answer_column", "output")
    prompts = part(page, "set/prompt_column")
    assert prompts.is_visible()
    studio.act(page, button(page, "Continue").click)
    part(page, "name").wait_for()
    studio.act(page, button(page, "Import data set").click)
    page.get_by_text("is imported.").wait_for()
    with page.expect_navigation(url="**#new/**"):
        button(page, "New experiment").click()
    return str(page.url.rpartition("#new/")[2])


def start(studio: Studio, page: Any, name: str) -> str:
    """Fill the name and press Start; the experiment's id."""
    studio.act(page, lambda: part(page, "cfg/experiment_name").fill(name))
    studio.settled(page)
    button(page, "Start").click()
    page.wait_for_url("**#experiment/**")
    return str(page.url.rpartition("#experiment/")[2].split("/")[0])


def points(page: Any) -> int:
    """Points that the charts of the page show."""
    charts = "[...document.querySelectorAll('.ls-chart')]"
    return int(page.evaluate(f"() => {charts}.reduce((sum, one) => sum + Number(one.dataset.points || 0), 0)"))


def watch_until(studio: Studio, page: Any, words: str) -> list[int]:
    """Watch the page, without touching it, until the status is `words`; every different number of points seen."""
    seen: list[int] = []
    deadline = time.monotonic() + EXPERIMENT_SECONDS
    while time.monotonic() < deadline:
        found = points(page)
        if not seen or found != seen[-1]:
            seen.append(found)
        status = page.locator(".ls-title .ls-status").first
        if status.count() and status.inner_text().strip() == words:
            return seen
        assert "failed" not in page.locator(".ls-title").first.inner_text(), studio.log("supervisor")
        page.wait_for_timeout(250)
    raise AssertionError(f"not {words} after {EXPERIMENT_SECONDS} s; points seen: {seen}")


@pytest.mark.skipif(not ALPACA.is_file(), reason="the data folder beside the project is not there")
def test_import_tune_watch_compare_chat_stop_download_delete(studio: Studio, page: Any, tmp_path: Path) -> None:
    dataset = import_file(studio, page, alpaca_sample(tmp_path))

    # The first experiment: int8 and LoRA, watched live.
    choose(page, studio, "cfg/architecture.backbone_dtype", "int8")
    first = start(studio, page, "int8 with LoRA")
    seen = watch_until(studio, page, "finished")
    assert len([count for count in seen if count > 0]) >= 3, f"live updates of the charts: {seen}"
    for title in ("Perplexity on held-out rows", "BLEU on held-out rows"):
        assert page.get_by_text(title).first.is_visible()

    # A prediction is read.
    studio.open(page, f"#experiment/{first}/samples")
    page.locator('[data-automation-key="target"]').first.wait_for()
    assert page.locator('[data-automation-key="target"]').first.inner_text().strip()

    # A second one, compared with the first.
    studio.open(page, f"#new/{dataset}?from={first}")
    studio.act(page, lambda: part(page, "cfg/training.learning_rate").fill("0.0005"))
    second = start(studio, page, "lower learning rate")
    watch_until(studio, page, "finished")
    studio.open(page, f"#compare/{first},{second}")
    page.get_by_text("int8 with LoRA").first.wait_for()
    assert (
        page.get_by_text("training.learning_rate").first.is_visible()
        or page.get_by_text("Learning rate").first.is_visible()
    )
    page.locator(".ls-chart .main-svg").first.wait_for()

    # Talk to the tuned model.
    studio.open(page, f"#chat/{first}")
    if button(page, "Load").is_visible():
        button(page, "Load").click()
    part(page, "chat_prompt").fill("Give three tips for staying healthy.")
    button(page, "Send").click()
    page.locator(".ls-say-model .ls-say-body").first.wait_for(timeout=CHAT_SECONDS * 1000)
    button(page, "Answer again").wait_for(timeout=CHAT_SECONDS * 1000)

    # A third one is stopped; it saves a checkpoint and ends within ten seconds.
    studio.open(page, f"#new/{dataset}?from={first}")
    studio.act(page, lambda: part(page, "cfg/training.epochs").fill("50"))
    third = start(studio, page, "to be stopped")
    page.get_by_text("tok/s").first.wait_for(timeout=EXPERIMENT_SECONDS * 1000)  # it has taken steps
    asked = time.monotonic()
    button(page, "Stop").click()
    watch_until(studio, page, "stopped")
    assert time.monotonic() - asked < 10
    assert (studio.home / "experiments" / third / "checkpoints" / "last").is_dir()
    assert button(page, "Continue").is_visible()

    # The adapter of the first one is downloaded.
    studio.open(page, f"#experiment/{first}/files")
    part(page, "export/adapter").click()
    part(page, "download_adapter").wait_for(timeout=60_000)
    with page.expect_download() as waiting:
        part(page, "download_adapter").click()
    target = tmp_path / "adapter.zip"
    waiting.value.save_as(target)
    names = zipfile.ZipFile(target).namelist()
    assert any(name.endswith("adapter_model.safetensors") for name in names)

    # Everything goes away again.
    for experiment in (first, second, third):
        studio.open(page, f"#experiment/{experiment}")
        button(page, "Delete").click()
        page.locator('[data-test^="delete_now"]').click()
        page.wait_for_url("**#experiments")
        assert not (studio.home / "experiments" / experiment).exists()
    studio.open(page, "#experiments")
    page.get_by_text("No experiments yet").first.wait_for()
    studio.open(page, "#datasets")
    part(page, "commands").click()
    studio.act(page, page.get_by_role("menuitem", name="Delete").click)
    button(page, "Delete data set").click()
    page.get_by_text("No data sets yet").first.wait_for()
