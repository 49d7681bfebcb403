"""Keeps the queue of experiments: starts the next one for each free device and notices those that died."""

import logging
import signal
import subprocess
import time
from collections.abc import Sequence

from llm_studio.config.device_names import devices_in
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, Store
from llm_studio.store.processes import is_alive, send_signal
from llm_studio.worker.endings import why_an_experiment_ended
from llm_studio.worker.start import EXPERIMENT, end_child, run_experiment

NEVER_STARTED_SECONDS = 15.0  # claimed by somebody who died before the process was there
LINGERING_SECONDS = 30.0  # ended by its own word, yet the process does not go
INTERRUPTED = "Interrupted when the studio stopped; it goes on from its last checkpoint."

log = logging.getLogger("llm_studio.supervisor")


class ExperimentQueue:
    """One experiment per device, in the order of the queue. All that must survive is in the store."""

    def __init__(self, store: Store, *, command: Sequence[str] = EXPERIMENT) -> None:
        self._store = store
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ended_at: dict[str, float] = {}

    def tick(self) -> None:
        """Look once: first who has ended, then who may start."""
        active = self._store.experiments.active()
        running = [record for record in active if record.status == "running"]
        for record in running:
            self._watch(record)
        self._reap({record.id for record in running})
        busy = {device for record in running for device in devices_in(record.device)}
        for record in active:
            if record.status != "queued":
                continue
            wanted = set(devices_in(record.device))
            if not wanted & busy:
                self._start(record)
            busy |= wanted  # whether it starts or not: those behind it on these devices wait

    def _start(self, record: ExperimentRecord) -> None:
        holder = self._store.leases.holder(record.device)
        if holder is not None:
            who = {"server": "a chat uses", "preflight": "a check measures on"}.get(holder.holder_kind, "")
            words = f"Waiting: {who} {holder.device}" if who else ""
            if words and record.phase != words:
                self._store.experiments.update(record.id, phase=words)
            return
        try:
            process = run_experiment(self._store, record, command=self._command)
        except UserError as error:
            log.error("experiment %s: %s", record.id, error.what)
            return
        if process is not None:
            self._children[record.id] = process
            log.info("experiment %s started as process %d on %s", record.id, process.pid, record.device)

    def _watch(self, record: ExperimentRecord) -> None:
        """Mark the experiment failed when its process is gone and has not said how it ended."""
        child = self._children.get(record.id)
        if child is not None and child.pid == record.pid:
            returncode = child.poll()
            if returncode is None:
                return
        elif record.pid is None:
            if time.time() - (record.started_at or 0.0) > NEVER_STARTED_SECONDS:
                self._store.experiments.requeue(record.id, "Waiting")
            return
        elif is_alive(record.pid, record.pid_started_at):
            return
        else:
            returncode = None
        error = why_an_experiment_ended(self._store.home.experiment(record.id), returncode, record.pid_started_at)
        if self._store.experiments.finish(record.id, "failed", error.as_dict()):
            log.error("experiment %s: %s", record.id, error.what)

    def _reap(self, running: set[str]) -> None:
        """Wait for ended children; one that has ended by its own word and lingers would hold the device."""
        for experiment_id, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[experiment_id]
                self._ended_at.pop(experiment_id, None)
            elif experiment_id not in running:
                since = self._ended_at.setdefault(experiment_id, time.monotonic())
                if time.monotonic() - since > LINGERING_SECONDS:
                    end_child(child, signal.SIGKILL)

    def stop_all(self, patience_seconds: float) -> None:
        """Ask the studio's own experiments to save a checkpoint and end; put them back into the queue.

        One that does not end in time is killed and goes on from its last checkpoint. One whose stop the user had
        asked for stays stopped. Those started by `llm-studio train` go on.
        """
        asked = [
            record
            for record in self._store.experiments.list("running")
            if record.started_by == "studio" and record.pid and is_alive(record.pid, record.pid_started_at)
        ]
        for record in asked:
            send_signal(record.pid, record.pid_started_at, signal.SIGTERM, word=record.id)
        deadline = time.monotonic() + patience_seconds
        while any(map(self._lives, asked)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for record in asked:
            if self._lives(record):
                log.warning("experiment %s did not end in time and is killed", record.id)
                send_signal(record.pid, record.pid_started_at, signal.SIGKILL, word=record.id, group=True)
            self._put_back(record)

    def _lives(self, record: ExperimentRecord) -> bool:
        child = self._children.get(record.id)
        if child is not None and child.pid == record.pid:
            return child.poll() is None
        return is_alive(record.pid, record.pid_started_at)

    def _put_back(self, asked: ExperimentRecord) -> None:
        status = self._store.experiments.get(asked.id).status
        if status == "stopped" and not asked.stop_requested:
            self._store.experiments.requeue(asked.id, INTERRUPTED)
        elif status == "running" and asked.stop_requested:
            self._store.experiments.finish(asked.id, "stopped")
        elif status == "running":
            self._store.experiments.requeue(asked.id, INTERRUPTED)
