"""Runs model servers: one process per loaded model, started when asked for, ended when idle.

A server on a GPU needs the device's lease, as an experiment does; one on the CPU needs none.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from llm_studio.config.device_names import devices_in
from llm_studio.store import ServerRecord, Store
from llm_studio.store.processes import is_alive, own_identity, process_started_at, send_signal
from llm_studio.worker.endings import why_it_ended
from llm_studio.worker.start import SERVER, end_child, spawn

IDLE_SECONDS = 15 * 60.0
IDLE_SECONDS_IF_WANTED = 2 * 60.0  # when an experiment waits for the device
ASK_SECONDS = 5.0

log = logging.getLogger("llm_studio.supervisor")


class ServerPool:
    """The processes of model servers; all of them end with the supervisor."""

    def __init__(self, store: Store, *, command: Sequence[str] = SERVER, idle_seconds: float = IDLE_SECONDS) -> None:
        self._store = store
        self._command = command
        self._idle_seconds = idle_seconds
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._asked_at: dict[str, float] = {}

    def adopt(self) -> None:
        """After a restart: servers ended with the supervisor before us; whoever still wants one asks again."""
        for server in self._store.servers.list(active=True):
            if not is_alive(server.pid, server.pid_started_at):
                self._end(server, "stopped")

    def tick(self) -> None:
        """Look once: who has ended, who must end, who may start."""
        for server in reversed(self._store.servers.list(active=True)):
            if server.pid is not None:
                self._watch(server)
            elif server.stop_requested:
                self._end(server, "stopped")
            elif server.status == "queued":
                self._start(server)
        for server_id, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[server_id]
                self._asked_at.pop(server_id, None)

    def _start(self, server: ServerRecord) -> None:
        leased = server.device != "cpu"
        holder = (server.device, "server", server.id)
        if leased and not self._store.leases.acquire(*holder, *own_identity()):
            self._say_who_is_there(server)
            return
        with self._log(server.id).open("ab") as output:
            child = spawn(
                [*self._command, server.id, "--home", str(self._store.home.path)],
                output.fileno(),
                ends_with_parent=True,
            )
        started_at = process_started_at(child.pid) or 0.0
        self._children[server.id] = child
        if leased:
            self._store.leases.acquire(*holder, child.pid, started_at)
        self._store.servers.set_loading(server.id, child.pid, started_at)
        log.info("server %s started as process %d on %s", server.id, child.pid, server.device)

    def _say_who_is_there(self, server: ServerRecord) -> None:
        found = self._store.leases.holder(server.device)
        if found is None:
            return
        if found.holder_kind == "experiment":
            experiment = self._store.experiments.find(found.holder_id)
            who = f"the experiment {experiment.name}" if experiment else "an experiment"
        elif found.holder_kind == "preflight":
            who = "a check before a start"
        else:
            who = "another chat"
        words = f"Waiting for {server.device}: {who} uses it"
        if server.phase != words:
            self._store.servers.set_waiting(server.id, words)

    def _watch(self, server: ServerRecord) -> None:
        child = self._children.get(server.id)
        alive = child.poll() is None if child else is_alive(server.pid, server.pid_started_at)
        if not alive and server.stop_requested:
            self._end(server, "stopped")
        elif not alive:
            error = why_it_ended("model server", child.returncode if child else None, self._log(server.id))
            log.error("server %s: %s", server.id, error.what)
            self._end(server, "failed", error.as_dict())
        elif server.stop_requested:
            self._press(server)
        elif server.status == "ready" and time.time() - server.last_used_at > self._patience(server):
            log.info("server %s is idle and ends", server.id)
            self._store.servers.request_stop(server.id)

    def _patience(self, server: ServerRecord) -> float:
        """An idle chat gives a GPU back sooner when an experiment waits for it."""
        if server.device == "cpu":
            return self._idle_seconds
        wanted = any(server.device in devices_in(record.device) for record in self._store.experiments.list("queued"))
        return min(self._idle_seconds, IDLE_SECONDS_IF_WANTED) if wanted else self._idle_seconds

    def _press(self, server: ServerRecord) -> None:
        if server.pid is None:
            return
        asked_at = self._asked_at.setdefault(server.id, time.monotonic())
        if time.monotonic() - asked_at > ASK_SECONDS:
            send_signal(server.pid, server.pid_started_at, signal.SIGKILL, word=server.id, group=True)
        else:
            send_signal(server.pid, server.pid_started_at, signal.SIGTERM, word=server.id)

    def _end(self, server: ServerRecord, status: str, error: dict[str, str] | None = None) -> None:
        self._store.servers.finish(server.id, "failed" if status == "failed" else "stopped", error)
        self._store.leases.release(server.device, "server", server.id)
        if status == "stopped":
            self._log(server.id).unlink(missing_ok=True)

    def _log(self, server_id: str) -> Path:
        return self._store.home.run / f"server-{server_id}.log"

    def stop_all(self, patience_seconds: float) -> None:
        """End all servers."""
        for child in self._children.values():
            end_child(child, signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        while any(child.poll() is None for child in self._children.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in self._children.values():
            if child.poll() is None:
                end_child(child, signal.SIGKILL)
                child.wait()
        for server in self._store.servers.list(active=True):
            self._end(server, "stopped")
