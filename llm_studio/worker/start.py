"""Starts the processes of the worker: one experiment, one data job, one model server.

Which process ends with which:
- A trainer that the supervisor started outlives it: after a crash the next supervisor finds it by process id and start
  time and takes it over. It ends (with a checkpoint) when the supervisor is told to stop.
- A trainer that `llm-studio train` started belongs to that command: Linux sends it SIGTERM when the command dies.
- The processes of an experiment on several devices end with the one that started them, `worker/launch.py`.
- Data jobs and model servers end with the supervisor: they are cheap to start again, and a forgotten one would keep
  memory for ever.
Each gets a session of its own, so that Ctrl-C in a terminal reaches only the one who asks them to stop in good order.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_studio.config.device_names import places
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, Home, Store
from llm_studio.store.charts_db import FILE as CHARTS_FILE
from llm_studio.store.processes import own_identity, process_started_at
from llm_studio.store.rounds import read_rounds

PR_SET_PDEATHSIG = 1
NICENESS = 5  # so that the pages stay quick while every core is busy
LOG_FILE = "log.txt"
EXPERIMENT = (sys.executable, "-m", "llm_studio.worker.job")
SEVERAL = (sys.executable, "-m", "llm_studio.worker.launch")
DATA_JOB = (sys.executable, "-m", "llm_studio.worker.data_job")
SERVER = (sys.executable, "-m", "llm_studio.serving.server")


def start_experiment_process(
    home: Home, record: ExperimentRecord, *, command: Sequence[str] = EXPERIMENT, ends_with_parent: bool = False
) -> "subprocess.Popen[bytes]":
    """Start the process of one experiment; all that it prints is added to log.txt in the experiment's folder.

    On several devices it is the one that starts, minds and ends the others.
    """
    folder = home.experiment(record.id)
    clear_unless_resuming(folder)
    words = [*command, record.id, "--home", str(home.path)]
    count = len(places(record.device))
    if count > 1 and command == EXPERIMENT:
        words = [*SEVERAL, record.id, "--home", str(home.path), "--processes", str(count)]
    with (folder / LOG_FILE).open("ab") as log:
        return spawn(words, log.fileno(), ends_with_parent=ends_with_parent)


def log_name(rank: int) -> str:
    """The log of one of several processes: log.txt for the first, then log-1.txt, log-2.txt."""
    return LOG_FILE if rank == 0 else f"log-{rank}.txt"


def run_experiment(
    store: Store,
    record: ExperimentRecord,
    *,
    command: Sequence[str] = EXPERIMENT,
    by: str = "studio",
    ends_with_parent: bool = False,
) -> "subprocess.Popen[bytes] | None":
    """Take the device and the experiment, then start it; None when the device or the experiment is taken.

    by: "studio" or "command", who stops it in the end.

    Raises:
        UserError: its process cannot be started; the experiment is then marked failed.
    """
    holder = (record.device, "experiment", record.id)
    if not store.leases.acquire(*holder, *own_identity()):
        return None
    if store.experiments.claim(record.id, by=by) is None:
        store.leases.release(*holder)
        return None
    try:
        process = start_experiment_process(store.home, record, command=command, ends_with_parent=ends_with_parent)
    except OSError as error:
        store.leases.release(*holder)
        problem = UserError(
            f"The experiment's process could not be started: {error.strerror}.",
            where=str(error.filename or ""),
            fix="Check that the studio's home is there and can be written.",
        )
        store.experiments.finish(record.id, "failed", problem.as_dict())
        raise problem from error
    started_at = process_started_at(process.pid)
    if started_at is not None:
        store.leases.acquire(*holder, process.pid, started_at)
        store.experiments.set_running(record.id, process.pid, started_at)
    return process


def clear_unless_resuming(folder: Path) -> None:
    """Remove charts and predictions of an earlier attempt, when there is nothing to go on from."""
    if (folder / "checkpoints" / "resume").is_dir() or read_rounds(folder):
        return
    for name in (CHARTS_FILE, f"{CHARTS_FILE}-wal", f"{CHARTS_FILE}-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "predictions", ignore_errors=True)


def spawn(command: Sequence[str], output: int, *, ends_with_parent: bool) -> "subprocess.Popen[bytes]":
    """Start a process whose output goes to a file; see the top of this module for `ends_with_parent`."""
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        preexec_fn=_become_child(ends_with_parent),
    )


def _become_child(ends_with_parent: bool) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True) if ends_with_parent and sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        os.nice(NICENESS)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died between fork and prctl
                os.kill(os.getpid(), signal.SIGTERM)

    return prepare


def end_child(child: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal a child of this process: politely itself, or with SIGKILL all that it has started too.

    A child that has not been waited for keeps its process id, so that this can never reach another program.
    """
    if child.poll() is not None:
        return
    if number == signal.SIGKILL:
        os.killpg(child.pid, number)  # `spawn` made it the leader of a session
    else:
        child.send_signal(number)
