"""Who uses which device: one holder per device, and a holder whose process is gone holds nothing.

An experiment on several devices ("cuda:0,cuda:1") holds each of them, or none.
"""

import time
from typing import Any

from sqlalchemy import Row, select

from llm_studio.config.device_names import devices_in
from llm_studio.store.database import Database
from llm_studio.store.processes import is_alive
from llm_studio.store.records import LeaseRecord
from llm_studio.store.tables import leases

SUPERVISOR = "supervisor"  # not a device: the lease that keeps a home to one supervisor


class Leases:
    """Devices ("cpu", "cuda:0") and their holders (kind "experiment" or "server", and its id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, device: str, holder_kind: str, holder_id: str, pid: int, pid_started_at: float) -> bool:
        """Take all devices named when each is free, its holder is dead, or the holder is the same one (with a new
        process)."""
        wanted = devices_in(device)
        with self._database.write() as connection:
            for found in connection.execute(select(leases).where(leases.c.device.in_(wanted))).all():
                same = (found.holder_kind, found.holder_id) == (holder_kind, holder_id)
                if not same and is_alive(found.pid, found.pid_started_at):
                    return False
            connection.execute(leases.delete().where(leases.c.device.in_(wanted)))
            values = {"holder_kind": holder_kind, "holder_id": holder_id, "pid": pid, "pid_started_at": pid_started_at}
            rows = [{"device": name, **values, "since": time.time()} for name in wanted]
            connection.execute(leases.insert(), rows)
            return True

    def release(self, device: str, holder_kind: str, holder_id: str) -> None:
        """Give the devices named back; nothing happens to those that somebody else holds."""
        with self._database.write() as connection:
            connection.execute(
                leases.delete().where(
                    leases.c.device.in_(devices_in(device)),
                    leases.c.holder_kind == holder_kind,
                    leases.c.holder_id == holder_id,
                )
            )

    def holder(self, device: str) -> LeaseRecord | None:
        """Who uses the device, or one of those named, now: a living process, or None."""
        with self._database.read() as connection:
            rows = connection.execute(select(leases).where(leases.c.device.in_(devices_in(device)))).all()
        return next((lease for row in rows if (lease := _living(row)) is not None), None)

    def list(self) -> list[LeaseRecord]:
        """All devices in use."""
        with self._database.read() as connection:
            rows = connection.execute(select(leases).where(leases.c.device != SUPERVISOR)).all()
        return [lease for row in rows if (lease := _living(row)) is not None]


def _living(row: Row[Any] | None) -> LeaseRecord | None:
    if row is None or not is_alive(row.pid, row.pid_started_at):
        return None
    return LeaseRecord(**row._mapping)
