"""Data jobs: work on data and files that takes longer than a click, done in processes of their own."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from llm_studio.store.records import JobRecord, JobStatus
from llm_studio.store.repository import Repository, new_id
from llm_studio.store.tables import jobs

ACTIVE = ("queued", "running")


class Jobs(Repository[JobRecord]):
    """Rows about data jobs; they run in the order of their creation."""

    table = jobs
    words = "data job"
    record = JobRecord

    def create(self, kind: str, params: Mapping[str, Any], subject: str = "") -> JobRecord:
        """Ask for a job; the supervisor starts it. subject: id of what it is about."""
        job_id = new_id()
        with self._database.write() as connection:
            connection.execute(
                jobs.insert().values(
                    id=job_id,
                    kind=kind,
                    subject=subject,
                    params=dict(params),
                    status="queued",
                    message="Waiting for its turn",
                    created_at=time.time(),
                )
            )
            return self._get(connection, job_id)

    def list(
        self, kind: str | None = None, subject: str | None = None, active: bool = False, status: str | None = None
    ) -> list[JobRecord]:
        """Newest first; `active`: only those that wait or run."""
        query = select(jobs)
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if subject is not None:
            query = query.where(jobs.c.subject == subject)
        if active:
            query = query.where(jobs.c.status.in_(ACTIVE))
        if status is not None:
            query = query.where(jobs.c.status == status)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(jobs.c.created_at.desc())).all()
        return [self._record(row) for row in rows]

    def claim(self, job_id: str) -> JobRecord | None:
        """Take it; None when it was cancelled or taken meanwhile."""
        with self._database.write() as connection:
            if self._get(connection, job_id).status != "queued":
                return None
            return self._set(connection, job_id, {"status": "running", "started_at": time.time(), "message": ""})

    def set_running(self, job_id: str, pid: int, pid_started_at: float) -> JobRecord:
        """Note which process works on it; one that has ended meanwhile stays ended."""
        with self._database.write() as connection:
            found = self._get(connection, job_id)
            if found.status not in ACTIVE:
                return found
            values: dict[str, Any] = {"status": "running", "pid": pid, "pid_started_at": pid_started_at}
            if found.started_at is None:
                values |= {"started_at": time.time(), "message": ""}
            return self._set(connection, job_id, values)

    def update(self, job_id: str, *, progress: float | None = None, message: str | None = None) -> bool:
        """Set progress (None: not known) and, when given, the message; True when cancel was asked."""
        with self._database.write() as connection:
            found = self._get(connection, job_id)
            if found.status in ACTIVE:
                values: dict[str, Any] = {"progress": None if progress is None else max(0.0, min(1.0, progress))}
                if message is not None:
                    values["message"] = message
                self._set(connection, job_id, values)
            return found.cancel_requested

    def finish(
        self,
        job_id: str,
        status: JobStatus,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, str] | None = None,
    ) -> bool:
        """End a waiting or running job as done, failed or cancelled; False when it had ended already."""
        with self._database.write() as connection:
            if self._get(connection, job_id).status not in ACTIVE:
                return False
            values: dict[str, Any] = {
                "status": status,
                "ended_at": time.time(),
                "result": None if result is None else dict(result),
                "error": None if error is None else dict(error),
            }
            if status == "done":
                values["progress"] = 1.0
            self._set(connection, job_id, values)
            return True

    def requeue(self, job_id: str) -> None:
        """Let a job run again from its start."""
        values = {"status": "queued", "pid": None, "pid_started_at": None, "progress": None, "started_at": None}
        with self._database.write() as connection:
            if self._get(connection, job_id).status == "running":
                self._set(connection, job_id, values | {"message": "Waiting to start again"})

    def request_cancel(self, job_id: str) -> JobRecord:
        """A waiting job is cancelled at once; a running one is asked to end."""
        with self._database.write() as connection:
            found = self._get(connection, job_id)
            if found.status == "queued":
                values: dict[str, Any] = {"status": "cancelled", "ended_at": time.time(), "cancel_requested": True}
            elif found.status == "running" and not found.cancel_requested:
                values = {"cancel_requested": True, "cancel_requested_at": time.time()}
            else:
                return found
            return self._set(connection, job_id, values)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended."""
        with self._database.write() as connection:
            connection.execute(jobs.delete().where(jobs.c.id == job_id, jobs.c.status.not_in(ACTIVE)))
