"""Runs data jobs, at most two at a time, in the order in which they were asked for."""

import logging
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from llm_studio.store import JobRecord, Store
from llm_studio.store.processes import is_alive, process_started_at, send_signal
from llm_studio.worker.endings import why_it_ended
from llm_studio.worker.start import DATA_JOB, end_child, spawn

AT_ONCE = 2
ASK_SECONDS = 3.0  # a job looks at the cancel by itself at its next report; after this it gets SIGTERM
KILL_SECONDS = 10.0  # and after this SIGKILL
LOGS_KEPT = 20

log = logging.getLogger("llm_studio.supervisor")


class DataPool:
    """The processes of data jobs. A job must be one that can start again from its beginning."""

    def __init__(self, store: Store, *, command: Sequence[str] = DATA_JOB) -> None:
        self._store = store
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def adopt(self) -> None:
        """After a restart: jobs ended with the supervisor before us, so those that ran start again."""
        for job in self._store.jobs.list(status="running"):
            if is_alive(job.pid, job.pid_started_at):
                continue
            self._remove_leavings(job)
            if job.cancel_requested:
                self._store.jobs.finish(job.id, "cancelled")
            else:
                self._store.jobs.requeue(job.id)

    def tick(self) -> None:
        """Look once: who has ended, who must end, who may start."""
        active = self._store.jobs.list(active=True)
        running = [job for job in active if job.status == "running"]
        for job in running:
            self._watch(job)
        for job_id, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[job_id]
        free = AT_ONCE - sum(1 for job in running if job.id in self._children or is_alive(job.pid, job.pid_started_at))
        waiting = sorted((job for job in active if job.status == "queued"), key=lambda job: job.created_at)
        for job in waiting[: max(0, free)]:
            self._start(job)

    def _start(self, job: JobRecord) -> None:
        if self._store.jobs.claim(job.id) is None:
            return
        with self._log(job.id).open("ab") as output:
            child = spawn(
                [*self._command, job.id, "--home", str(self._store.home.path)], output.fileno(), ends_with_parent=True
            )
        self._children[job.id] = child
        self._store.jobs.set_running(job.id, child.pid, process_started_at(child.pid) or 0.0)

    def _watch(self, job: JobRecord) -> None:
        child = self._children.get(job.id)
        alive = child.poll() is None if child else is_alive(job.pid, job.pid_started_at)
        if alive:
            self._press(job)
            return
        if child is None and job.pid is None and time.time() - (job.started_at or 0.0) < ASK_SECONDS:
            return  # somebody else has just taken it and is starting it
        if job.cancel_requested:
            ended = self._store.jobs.finish(job.id, "cancelled")
        else:
            error = why_it_ended("data job", child.returncode if child else None, self._log(job.id))
            ended = self._store.jobs.finish(job.id, "failed", error=error.as_dict())
            if ended:
                log.error("data job %s (%s): %s", job.id, job.kind, error.what)
        if ended:
            self._remove_leavings(job)
        self._tidy_logs()

    def _press(self, job: JobRecord) -> None:
        """A cancel that the job does not look at: SIGTERM, later SIGKILL."""
        if not job.cancel_requested or job.pid is None:
            return
        waited = time.time() - (job.cancel_requested_at or 0.0)
        if waited > KILL_SECONDS:
            send_signal(job.pid, job.pid_started_at, signal.SIGKILL, word=job.id, group=True)
        elif waited > ASK_SECONDS:
            send_signal(job.pid, job.pid_started_at, signal.SIGTERM, word=job.id)

    def _remove_leavings(self, job: JobRecord) -> None:
        """A killed job could not remove what it had begun to write."""
        shutil.rmtree(self._store.home.staging / job.id, ignore_errors=True)

    def _log(self, job_id: str) -> Path:
        return self._store.home.run / f"job-{job_id}.log"

    def _tidy_logs(self) -> None:
        logs = sorted(self._store.home.run.glob("job-*.log"), key=lambda path: path.stat().st_mtime)
        for path in logs[:-LOGS_KEPT]:
            path.unlink(missing_ok=True)

    def stop_all(self, patience_seconds: float) -> None:
        """End the jobs; those that are not done run again at the next start."""
        for child in self._children.values():
            end_child(child, signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        while any(child.poll() is None for child in self._children.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for job_id, child in self._children.items():
            if child.poll() is None:
                end_child(child, signal.SIGKILL)
                child.wait()
            job = self._store.jobs.get(job_id)
            if job.status == "running":
                self._remove_leavings(job)
                if job.cancel_requested:
                    self._store.jobs.finish(job_id, "cancelled")
                else:
                    self._store.jobs.requeue(job_id)
