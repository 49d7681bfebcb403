"""One child process: started in a group of its own, told to end when the launcher dies, stopped for certain."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_BYTES = 4_000_000


def _end_with_parent(signal_number: int) -> Callable[[], None] | None:
    """What the child does before it becomes the program: ask Linux for `signal_number` when its parent dies."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os.kill(os.getpid(), signal_number)

    return ask


class Child:
    """A process that can be started again. `patience_seconds`: from SIGTERM to SIGKILL."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path | None,
        patience_seconds: float,
        signal_at_parents_death: int = signal.SIGKILL,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._log = log
        self._patience_seconds = patience_seconds
        self._signal_at_parents_death = signal_at_parents_death
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it prints goes to its log, or nowhere."""
        if self._log is None:
            self._popen(subprocess.DEVNULL)
            return
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_suffix(".old.log"))
        with self._log.open("ab") as log:
            self._log.chmod(0o600)
            self._popen(log.fileno())

    def _popen(self, output: int) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent(self._signal_at_parents_death),
        )

    @property
    def pid(self) -> int:
        """Of the process started last; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def is_alive(self) -> bool:
        """False before `start` and after it ended."""
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._process and self.is_alive:
            self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, patience, then SIGKILL for whatever is left of its group."""
        if self._process is None:
            return
        self.ask_to_stop()
        deadline = time.monotonic() + self._patience_seconds
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left of the group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        if self._log is None or not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
