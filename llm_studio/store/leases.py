"""Who uses which device: one holder per device, and a holder whose process is gone holds nothing."""

import time
from typing import Any

from sqlalchemy import Row, select

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
        """Take the device when it is free, its holder is dead, or the holder is the same one (with a new process)."""
        with self._database.write() as connection:
            found = connection.execute(select(leases).where(leases.c.device == device)).first()
            if found is not None:
                same = (found.holder_kind, found.holder_id) == (holder_kind, holder_id)
                if not same and is_alive(found.pid, found.pid_started_at):
                    return False
                connection.execute(leases.delete().where(leases.c.device == device))
            values = {"device": device, "holder_kind": holder_kind, "holder_id": holder_id, "pid": pid}
            connection.execute(leases.insert().values(**values, pid_started_at=pid_started_at, since=time.time()))
            return True

    def release(self, device: str, holder_kind: str, holder_id: str) -> None:
        """Give the device back; nothing happens when somebody else holds it."""
        with self._database.write() as connection:
            connection.execute(
                leases.delete().where(
                    leases.c.device == device, leases.c.holder_kind == holder_kind, leases.c.holder_id == holder_id
                )
            )

    def holder(self, device: str) -> LeaseRecord | None:
        """Who uses the device now: a living process, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(leases).where(leases.c.device == device)).first()
        return _living(row)

    def list(self) -> list[LeaseRecord]:
        """All devices in use."""
        with self._database.read() as connection:
            rows = connection.execute(select(leases).where(leases.c.device != SUPERVISOR)).all()
        return [lease for row in rows if (lease := _living(row)) is not None]


def _living(row: Row[Any] | None) -> LeaseRecord | None:
    if row is None or not is_alive(row.pid, row.pid_started_at):
        return None
    return LeaseRecord(**row._mapping)
