"""What an experiment's process tells the store: phases, progress, charts; and how it hears that it is to stop."""

import threading
import time
from typing import Protocol

from llm_studio.store import Store
from llm_studio.store.charts_db import ChartsDb

UPDATE_SECONDS = 1.0
STOP_SECONDS = 0.25
START_SHARE = 0.03
"""Share of the progress bar for everything before the first step."""


class Teller(Protocol):
    """Who is told what happens while an experiment, or a check of one, is prepared."""

    def should_stop(self) -> bool:
        """Whether the user asks to stop."""

    def phase(self, words: str) -> None:
        """Something new begins."""

    def detail(self, words: str) -> None:
        """How far it is."""

    def note(self, words: str) -> None:
        """Something worth knowing."""


class Reporter:
    """Writes how far it is at most once a second; `should_stop` reads the request at most four times a second."""

    def __init__(self, store: Store, experiment_id: str, terminated: threading.Event) -> None:
        self._store = store
        self._id = experiment_id
        self._terminated = terminated
        self._asked = False
        self._looked_at = 0.0
        self._told_at = 0.0
        self._phase = ""
        self.charts = ChartsDb(store.home.experiment(experiment_id))

    def should_stop(self) -> bool:
        """Whether the user, or the end of the studio, asks to stop."""
        if self._asked or self._terminated.is_set():
            self._asked = True
            return True
        now = time.monotonic()
        if now - self._looked_at >= STOP_SECONDS:
            self._looked_at = now
            self._asked = self._store.experiments.get(self._id).stop_requested
        return self._asked

    def phase(self, words: str) -> None:
        """Say what is happening, in the list, in the charts and in the log."""
        self._phase = words
        self._told_at = time.monotonic()
        if not self.should_stop():
            self._store.experiments.update(self._id, phase=words)
        self.charts.append("phase", {"text": words})
        print(words, flush=True)

    def detail(self, words: str) -> None:
        """The same for the list alone, and not more often than once a second."""
        now = time.monotonic()
        if now - self._told_at >= UPDATE_SECONDS and not self.should_stop():
            self._told_at = now
            self._store.experiments.update(self._id, phase=words)

    def note(self, words: str) -> None:
        """Something worth knowing, in the charts and in the log."""
        self.charts.append("note", {"text": words})
        print(words, flush=True)

    def say(self, words: str) -> None:
        """A line of the log."""
        print(words, flush=True)

    def progress(self, share: float, eta_seconds: float | None, *, now: bool = False) -> None:
        """How far the training is, in [0, 1]."""
        moment = time.monotonic()
        if now or moment - self._told_at >= UPDATE_SECONDS:
            self._told_at = moment
            done = START_SHARE + (1 - START_SHARE) * share
            phase = None if self._asked else "Training"
            self._store.experiments.update(self._id, progress=done, eta_seconds=eta_seconds, phase=phase)

    def close(self) -> None:
        """Let readers see everything."""
        self.charts.flush()
        self.charts.close()
