"""How quickly the studio starts, and how quickly its pages answer while an experiment runs."""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.support.browser import ROOT, Studio, find_chromium

STARTS = 3
CLICKS = 40
PAGES = ("#home", "#datasets", "#experiments", "#settings")
CLICKED = (
    '[data-action="studio.theme"]',
    'a[href*="status=running"]',
    '[data-action="studio.theme"]',
    'a[href*="status=finished"]',
)
TIMED_CLICK = """selector => new Promise((done) => {
  const marker = () => document.querySelector('[data-test="marker"] [data-rev]').dataset.rev
  const before = marker(), began = performance.now()
  let first = 0
  const look = () => {
    if (!first) { first = -1; requestAnimationFrame(() => { first = performance.now() - began }) }
    if (marker() === before) return
    changes.disconnect()
    requestAnimationFrame(() => done([first, performance.now() - began]))
  }
  const changes = new MutationObserver(look)
  changes.observe(document, { attributes: true, childList: true, characterData: true, subtree: true })
  document.querySelector(selector).click()
})"""
"""Clicks and gives two times in milliseconds: until the first frame after any change, until that of the answer."""


@contextmanager
def chromium_page() -> Iterator[Any]:
    """A tab in a real Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        browser.close()


def run_start() -> dict[str, object]:
    """`make studio` when everything is installed: from the command to a first page that answers a click."""
    seconds = []
    with chromium_page() as page:
        for _ in range(STARTS):
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                home = Path(folder) / "home"
                environment = {**os.environ, "LLM_STUDIO_HOME": str(home)}
                command = ["make", "--no-print-directory", "studio", "ARGS=--port 21101"]
                with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
                    address = address_in(process)
                    page.goto(f"{address}/#home")
                    page.locator('[data-test="marker"] [data-rev]').wait_for(state="attached")
                    page.get_by_role("button", name="Import data").first.wait_for()
                    seconds.append(time.monotonic() - began)
                    process.terminate()
    print(f"start to an interactive first page, {STARTS} times: median {statistics.median(seconds):.2f} s", flush=True)
    print("  each: " + ", ".join(f"{value:.2f}" for value in seconds))
    return {"seconds": seconds, "median_seconds": statistics.median(seconds)}


def address_in(process: "subprocess.Popen[str]") -> str:
    """The address that the launcher prints."""
    assert process.stdout
    for line in process.stdout:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0]
    raise SystemExit("the studio did not start")


def run_clicks() -> dict[str, object]:
    """First visible change after a click, its answer, and whole pages, while an experiment runs on this machine."""
    seen: dict[str, list[float]] = {"first visible change": [], "answer in the same page": []}
    with tempfile.TemporaryDirectory() as folder, chromium_page() as page:
        studio = Studio(Path(folder) / "home")
        try:
            start_experiment(studio.home)
            wait_until_training(studio, page)
            for i in range(CLICKS):
                if i % len(CLICKED) == 0:
                    open_page(page, "#home")
                    open_page(page, "#experiments")
                first, answered = page.evaluate(TIMED_CLICK, CLICKED[i % len(CLICKED)])
                seen["first visible change"].append(first / 1000)
                seen["answer in the same page"].append(answered / 1000)
            pages = [timed(functools.partial(open_page, page, PAGES[i % len(PAGES)])) for i in range(CLICKS)]
        finally:
            studio.stop()
    result: dict[str, object] = {}
    for name, values in (*seen.items(), ("whole page", pages)):
        p50, p95 = statistics.median(values) * 1000, statistics.quantiles(values, n=20)[-1] * 1000
        print(
            f"{name} after a click, {CLICKS} times, an experiment running: p50 {p50:.0f} ms, p95 {p95:.0f} ms",
            flush=True,
        )
        result[name] = {"p50_ms": round(p50), "p95_ms": round(p95)}
    return result


def start_experiment(home: Path) -> None:
    """A long experiment on the first sample, through the command line, into the running studio's queue."""
    config = home / "clicks.yaml"
    config.write_text("experiment_name: clicks\ndataset_id: orders\npreset: balanced\n", encoding="utf-8")
    environment = {**os.environ, "LLM_STUDIO_HOME": str(home)}
    cli = [sys.executable, "-m", "llm_studio.cli"]
    subprocess.run(
        [*cli, "dataset", "import", "starter:orders_to_json", "--name", "orders"], env=environment, check=True
    )
    train = [*cli, "train", str(config), "--training.epochs", "50"]
    subprocess.Popen(train, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until_training(studio: Studio, page: Any) -> None:
    """Until the list says that it trains."""
    studio.open(page, "#experiments")
    page.get_by_text("Training", exact=False).first.wait_for(timeout=180_000)


def timed(deed: Callable[[], None]) -> float:
    """Seconds a deed takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def open_page(page: Any, address: str) -> None:
    """Follow an address and wait until its page has taken the place of the other."""
    marker = '[data-test="marker"] [data-rev]'
    before = page.locator(marker).get_attribute("data-rev")
    page.evaluate("address => { location.hash = address }", address)
    page.wait_for_function(
        "([selector, before]) => document.querySelector(selector)?.dataset.rev !== before",
        arg=[marker, before],
        polling=5,
    )
