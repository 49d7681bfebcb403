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


def send_signal(pid: int | None, started_at: float | None, number: int, *, word: str, group: bool = False) -> bool:
    """Signal exactly this process, with all it has started if `group`; False when it is not there or not ours.

    A row of the database must never be able to end anything but a process of the studio: so not only process id and
    start time must fit; `word` (the id of the experiment, job or server) must be on its command line too, it must be
    the same user's, and neither this process nor one that this process stands below.
    """
    if pid is None or not is_alive(pid, started_at):
        return False
    own = psutil.Process()
    try:
        process = psutil.Process(pid)
        protected = {own.pid, 1, *(parent.pid for parent in own.parents())}
        ours = process.uids().real == own.uids().real and any(word in part for part in process.cmdline())
        if pid in protected or not ours:
            return False
        if group and os.getpgid(pid) == pid and pid != os.getpgrp():
            os.killpg(pid, number)
        else:
            process.send_signal(number)
    except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError):
        return False
    return True
