"""A real studio on free ports and a real Chromium that notices every page error, failed request and foreign address.

Fixtures, registered in tests/conftest.py: `studio` (one per session and home), `page` (a new tab per test).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"ready: (http://\S+)")


class Studio:
    """A studio started as a user starts it, through the launcher.

    app: another ASGI factory than the studio's own. home: its folder. address: "http://127.0.0.1:…".
    """

    def __init__(
        self, home: Path, *, app: str = "", port: int = 20101, environment: dict[str, str] | None = None
    ) -> None:
        self.home = home
        self.output: list[str] = []
        code = (
            "import sys; from pathlib import Path; from llm_studio import launcher; from llm_studio.store import Home;"
            "more = dict(one.split('=') for one in sys.argv[3:]);"
            "sys.exit(launcher.run(Home(Path(sys.argv[1])), port=int(sys.argv[2]), **more))"
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        inherited |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
        inherited |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | (environment or {})
        started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(home), str(port), *([f"app={app}"] if app else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=inherited,
            cwd=ROOT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._wait_ready()
        self.start_seconds = time.monotonic() - started

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)

    def _wait_ready(self, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.output):
                if found := READY.search(line):
                    return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise AssertionError("the studio did not start:\n" + "".join(self.output) + self.log())

    def log(self, name: str = "app") -> str:
        """What a child wrote to its log."""
        path = self.home / "run" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def children(self) -> list[psutil.Process]:
        """Every living process below the launcher."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def child(self, word: str) -> psutil.Process:
        """The child whose command line holds `word`: "waved", "uvicorn", "supervisor"."""
        for process in self.children():
            if any(word in part for part in process.cmdline()[:5]):
                return process
        raise AssertionError(f"no child {word!r} among {[p.cmdline() for p in self.children()]}")

    def stop(self, number: int = signal.SIGTERM) -> list[psutil.Process]:
        """Stop it; returns what was left alive of its processes (and ends that too)."""
        family = self.children()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        if self.process.stdout:
            self.process.stdout.close()
        _, left = psutil.wait_procs(family, timeout=3)
        left = [process for process in left if lives(process)]
        for process in left:
            process.kill()
        return left

    def open(self, page: Any, address: str = "#home") -> None:
        """Open an address of this studio in a tab that may be anywhere, and wait until it is shown."""
        page.goto(f"{self.address}/{address}")
        page.locator('[data-test="marker"] [data-rev]').wait_for(state="attached")
        self.settled(page)

    def revision(self, page: Any) -> int:
        """How many messages of this tab the studio has answered."""
        mark = page.locator('[data-test="marker"] [data-rev]')
        return int(mark.get_attribute("data-rev", timeout=10_000) or 0)

    def settled(self, page: Any, quiet_seconds: float = 0.15, seconds: float = 10) -> None:
        """Wait until nothing more was answered for a moment."""
        deadline, last, since = time.monotonic() + seconds, -1, time.monotonic()
        while time.monotonic() < deadline:
            now = self.revision(page)
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since >= quiet_seconds:
                return
            page.wait_for_timeout(20)

    def act(self, page: Any, deed: Any, seconds: float = 20) -> None:
        """Do something (a function of no arguments) and wait until the studio answered it."""
        before = self.revision(page)
        deed()
        deadline = time.monotonic() + seconds
        while self.revision(page) <= before:
            assert time.monotonic() < deadline, "the studio did not answer"
            page.wait_for_timeout(10)


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie has ended and only waits for the system to take note."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_chromium() -> str | None:
    """Debian's Chromium, or the one in CHROMIUM."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def watch(page: Any) -> list[str]:
    """Collects whatever must not happen in a page."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"request failed: {request.url} {request.failure}"))
    page.on("response", lambda answer: faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)

    def foreign(request: Any) -> None:
        if not re.match(r"(?:https?|wss?)://(?:127\.0\.0\.1|localhost)[:/]|data:|blob:", request.url):
            faults.append(f"request leaves the machine: {request.url}")

    page.on("request", foreign)
    return faults


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with an empty home, for the whole session."""
    one = Studio(tmp_path_factory.mktemp("studio") / "home")
    yield one
    left = one.stop()
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, started once; skips where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: install it, or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A new tab, 1440 x 900; the test fails when anything went wrong in it. `page.faults` may be cleared by a test
    that makes things go wrong on purpose."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    tab.faults = watch(tab)
    tab.set_default_timeout(15_000)
    yield tab
    faults = list(tab.faults)
    context.close()
    assert not faults, "\n".join(faults)
