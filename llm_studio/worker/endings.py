"""Says in plain words how a process ended that left no word of its own."""

import signal
from pathlib import Path

import psutil

from llm_studio.errors import UserError
from llm_studio.worker.memory_advice import UNKNOWN, advice_for
from llm_studio.worker.start import LOG_FILE

LAST_LINES = 3
TAIL_BYTES = 16_384


def why_it_ended(
    words: str, returncode: int | None, log: Path, *, started_at: float | None = None, less_memory: str = UNKNOWN
) -> UserError:
    """The error for a process that is gone.

    words: what it was ("experiment"). returncode: as subprocess gives it, negative for a signal; None when it is not
    known, since the process was not our child. less_memory: what helps when memory ran out.
    """
    what, fix = _reason(words, returncode, started_at, less_memory)
    last = last_lines(log)
    return UserError(what, where=f"last lines of {log.name}: {last}" if last else log.name, fix=fix)


def _reason(words: str, returncode: int | None, started_at: float | None, less_memory: str) -> tuple[str, str]:
    again = "Continue it from its last checkpoint, or restart it." if words == "experiment" else "Start it again."
    if returncode is None:
        if started_at is not None and psutil.boot_time() > started_at:
            return f"The machine was restarted while the {words} ran.", again
        return f"The process of the {words} is gone: it was ended from outside, or memory ran out.", again
    if returncode == -signal.SIGKILL:
        return f"The {words} was ended by the system, most likely out of memory (signal 9).", less_memory
    if returncode in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return f"Another program ended the {words} ({signal.Signals(-returncode).name}).", again
    if returncode in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE):
        name = signal.Signals(-returncode).name
        return (
            f"A library crashed inside the {words} ({name}).",
            "Read the end of the log; update drivers and libraries.",
        )
    if returncode < 0:
        return f"The {words} was ended by signal {-returncode}.", again
    if returncode == 0:
        return f"The {words} ended without saying how it went.", "Read the end of the log, then start it again."
    return f"The {words} ended with an error (exit code {returncode}).", "Read the end of the log."


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """The last lines of a log that are not empty, shortened; empty when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip()[:200] for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:])


def why_an_experiment_ended(folder: Path, returncode: int | None, started_at: float | None) -> UserError:
    """The same for an experiment, with its own log."""
    return why_it_ended(
        "experiment", returncode, folder / LOG_FILE, started_at=started_at, less_memory=advice_for(folder)
    )
