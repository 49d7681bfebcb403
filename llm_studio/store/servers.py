"""Loaded models: one process each, asked for by the chat page, started and ended by the supervisor."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from llm_studio.store.records import ServerRecord, ServerStatus
from llm_studio.store.repository import Repository, new_id
from llm_studio.store.tables import servers

ACTIVE = ("queued", "loading", "ready")


class Servers(Repository[ServerRecord]):
    """Rows about model servers; each listens on a loopback port and wants its own key."""

    table = servers
    words = "model server"
    record = ServerRecord

    def request(self, experiment_id: str | None, device: str, *, backbone: str = "") -> ServerRecord:
        """Ask for a loaded model; the one that is there for the same model and device is given back.

        experiment_id None: the plain backbone of that name.
        """
        with self._database.write() as connection:
            same = select(servers).where(
                servers.c.status.in_(ACTIVE),
                servers.c.stop_requested.is_(False),
                servers.c.device == device,
                servers.c.backbone == backbone,
                servers.c.experiment_id.is_(None)
                if experiment_id is None
                else servers.c.experiment_id == experiment_id,
            )
            if (found := connection.execute(same).first()) is not None:
                return self._set(connection, found.id, {"last_used_at": time.time()})
            server_id = new_id()
            connection.execute(
                servers.insert().values(
                    id=server_id,
                    experiment_id=experiment_id,
                    backbone=backbone,
                    device=device,
                    status="queued",
                    phase="Waiting for its turn",
                    api_key=secrets.token_urlsafe(24),
                    created_at=time.time(),
                    last_used_at=time.time(),
                )
            )
            return self._get(connection, server_id)

    def list(self, active: bool = False, experiment_id: str | None = None) -> list[ServerRecord]:
        """Newest first; `active`: only those that wait, load or answer."""
        query = select(servers).order_by(servers.c.created_at.desc())
        if active:
            query = query.where(servers.c.status.in_(ACTIVE))
        if experiment_id is not None:
            query = query.where(servers.c.experiment_id == experiment_id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [self._record(row) for row in rows]

    def set_loading(
        self, server_id: str, pid: int, pid_started_at: float, *, phase: str = "Starting the model's process"
    ) -> None:
        """The process is there and loads; phase says what it does."""
        self._change(server_id, {"status": "loading", "phase": phase, "pid": pid, "pid_started_at": pid_started_at})

    def update(self, server_id: str, *, phase: str) -> None:
        """What happens now, in words for the user."""
        self._change(server_id, {"phase": phase})

    def set_waiting(self, server_id: str, phase: str) -> None:
        """It waits for a device; phase says for which and why."""
        self._change(server_id, {"status": "queued", "phase": phase})

    def set_ready(self, server_id: str, port: int) -> None:
        """It answers on this port of the loopback address."""
        self._change(server_id, {"status": "ready", "phase": "", "port": port, "last_used_at": time.time()})

    def touch(self, server_id: str) -> None:
        """It was used just now; one that is not used for a while is ended."""
        self._change(server_id, {"last_used_at": time.time()})

    def request_stop(self, server_id: str) -> None:
        """A waiting one ends at once, a living one is asked to end."""
        with self._database.write() as connection:
            found = self._get(connection, server_id)
            if found.status == "queued":
                self._set(connection, server_id, {"status": "stopped", "phase": ""})
            elif found.status in ACTIVE:
                self._set(connection, server_id, {"stop_requested": True})

    stop_requested = request_stop

    def finish(self, server_id: str, status: ServerStatus, error: Mapping[str, str] | None = None) -> None:
        """It is gone: stopped or failed."""
        self._change(
            server_id, {"status": status, "phase": "", "port": None, "error": None if error is None else dict(error)}
        )

    def delete(self, server_id: str) -> None:
        """Forget one that has ended."""
        with self._database.write() as connection:
            connection.execute(servers.delete().where(servers.c.id == server_id, servers.c.status.not_in(ACTIVE)))

    def _change(self, server_id: str, values: dict[str, Any]) -> None:
        with self._database.write() as connection:
            if self._get(connection, server_id).status in ACTIVE:
                self._set(connection, server_id, values)
