"""Which process is meant: a process id alone is not enough, since the system gives it again to another program."""

import os

import psutil

TOLERANCE_SECONDS = 0.05  # the start time is counted in ticks of 10 ms since boot


def process_started_at(pid: int) -> float | None:
    """When the process started, in epoch seconds; None when there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
        return None


def own_identity() -> tuple[int, float]:
    """Process id and start time of this process."""
    pid = os.getpid()
    started_at = process_started_at(pid)
    return pid, 0.0 if started_at is None else started_at


def is_alive(pid: int | None, started_at: float | None) -> bool:
    """Whether exactly this process still runs; a dead child that nobody has waited for yet counts as gone."""
    if pid is None or started_at is None:
        return False
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started_at) > TOLERANCE_SECONDS:
            return False
        return bool(process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
        return False
