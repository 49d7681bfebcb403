"""What the process of an experiment does more when torchrun started it as one of several; imports nothing heavy.

The first one (rank 0) speaks to the store; the others read from it, keep a log of their own, and say in the store only
why they failed. The experiment belongs to the process that launched them: it holds the devices.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from llm_studio.store.processes import own_identity, process_started_at
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.start import PR_SET_PDEATHSIG, log_name

LAUNCHER = "LLM_STUDIO_LAUNCHER"
"""Where the launcher tells its process id."""
MICRO_BATCH_FILE = "micro_batch.txt"
OUT_OF_MEMORY = 75
"""Exit code of a process whose device ran out of memory, when smaller micro-batches may help."""
LOOK_SECONDS, LOOKS = 0.2, 15
"""How often and how many times to look whether another process is gone, when an exchange with it has failed."""


def are_several() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_rank() -> int:
    """The number of this process among them, 0 when it is alone."""
    return int(os.environ.get("RANK", "0")) if are_several() else 0


def begin(folder: Path) -> None:
    """Write to a log of one's own, and end when the process that launched us does, however it ends."""
    if own_rank() > 0:
        log = os.open(folder / log_name(own_rank()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ.get(LAUNCHER, os.getppid())):
        sys.exit(1)  # it died before we could ask to be told


def identity_of_experiment() -> tuple[int, float]:
    """Process id and start time of the process that the experiment ends with: the launcher of several, or this one."""
    if not are_several():
        return own_identity()
    launcher = os.getppid()
    return launcher, process_started_at(launcher) or 0.0


def may_say(status: str) -> bool:
    """Whether this process may say in the store that the experiment ended so.

    Of several the first says that it finished. That it was stopped the launcher says, who alone can tell being asked to
    stop from being ended since another process failed.
    """
    return not are_several() or (own_rank() == 0 and status == "finished")


def may_try_smaller(folder: Path, rows: int) -> bool:
    """Note that all processes are to be started again with half as many rows in a micro-batch, when there are more
    than one; the launcher does it."""
    if rows > 1:
        (folder / MICRO_BATCH_FILE).write_text(str(rows // 2), encoding="utf-8")
    return rows > 1


def rows_noted(folder: Path) -> int | None:
    """Rows of a micro-batch that memory is large enough for, when an attempt before found out."""
    file = folder / MICRO_BATCH_FILE
    return int(file.read_text(encoding="utf-8")) if file.is_file() else None


def another_is_gone() -> bool:
    """Whether one of the others has ended: an exchange that fails is then no fault of this one."""
    if not are_several():
        return False
    for _ in range(LOOKS):
        if _living() < int(os.environ["WORLD_SIZE"]):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _living() -> int:
    try:
        children = psutil.Process(os.getppid()).children()
        return sum(child.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) for child in children)
    except psutil.Error:
        return 0


class Follower(Reporter):
    """The reporter of a process that is not the first: hears of a stop as the first does, and writes its log alone."""

    def phase(self, words: str) -> None:
        """Into the log."""
        self.say(words)

    def note(self, words: str) -> None:
        """Into the log."""
        self.say(words)

    def detail(self, words: str) -> None:
        """Told by the first process."""

    def progress(self, share: float, eta_seconds: float | None, *, now: bool = False) -> None:
        """Told by the first process."""
