"""The experiments of the studio and their queue."""

import builtins
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, func, select
from sqlalchemy.exc import IntegrityError

from llm_studio.errors import UserError
from llm_studio.store.database import Database
from llm_studio.store.home import Home
from llm_studio.store.records import ExperimentRecord, ExperimentStatus
from llm_studio.store.repository import Repository, checked_name, name_taken, new_id
from llm_studio.store.tables import datasets, experiments

ACTIVE = ("queued", "running")
CONFIG_FILE = "config.yaml"


class Experiments(Repository[ExperimentRecord]):
    """Rows about experiments. The queue is the rows with status "queued" in order of `queue_position`."""

    table = experiments
    words = "experiment"
    record = ExperimentRecord

    def __init__(self, database: Database, home: Home) -> None:
        super().__init__(database)
        self._home = home

    def create(
        self,
        config_yaml: str,
        *,
        name: str,
        dataset_id: str,
        backbone: str,
        problem_type: str,
        device: str,
        continued_from: str | None = None,
        continued_what: str | None = None,
        continued_which: str | None = None,
        fill: Callable[[Path], None] = lambda folder: None,
        tags: tuple[str, ...] = (),
    ) -> ExperimentRecord:
        """Write the config and put the experiment at the end of the queue: both or nothing.

        fill: puts more into its folder, before anybody can start it.

        Raises:
            UserError: the name is empty, too long or taken; there is no such data set.
        """
        name = checked_name(name)
        experiment_id = new_id()
        folder = self._home.experiment(experiment_id)
        folder.mkdir(parents=True)
        try:
            (folder / CONFIG_FILE).write_text(config_yaml, encoding="utf-8")
            fill(folder)
            with self._database.write() as connection:
                dataset = connection.execute(select(datasets).where(datasets.c.id == dataset_id)).first()
                if dataset is None:
                    raise UserError("The data set does not exist.", where="dataset_id", fix="Choose a data set.")
                values: dict[str, Any] = {
                    "id": experiment_id,
                    "number": _highest(connection, experiments.c.number) + 1,
                    "name": name,
                    "dataset_id": dataset_id,
                    "dataset_name": dataset.name,
                    "dataset_fingerprint": dataset.fingerprint,
                    "problem_type": problem_type,
                    "backbone": backbone,
                    "device": device,
                    "status": "queued",
                    "created_at": time.time(),
                    "queue_position": _highest(connection, experiments.c.queue_position) + 1,
                    "scores": {},
                    "continued_from": continued_from,
                    "continued_what": continued_what,
                    "continued_which": continued_which,
                    "tags": list(tags),
                }
                connection.execute(experiments.insert().values(**values))
                return self._get(connection, experiment_id)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, IntegrityError):
                raise name_taken(self.words, name) from error
            raise

    def list(self, status: str | None = None) -> builtins.list[ExperimentRecord]:
        """All, or those with one status: the queue in its order, everything else newest first."""
        query = select(experiments)
        if status is not None:
            query = query.where(experiments.c.status == status)
        order = experiments.c.queue_position if status == "queued" else experiments.c.created_at.desc()
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(order)).all()
        return [self._record(row) for row in rows]

    def active(self) -> builtins.list[ExperimentRecord]:
        """Queued and running ones in the order of the queue."""
        query = select(experiments).where(experiments.c.status.in_(ACTIVE)).order_by(experiments.c.queue_position)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [self._record(row) for row in rows]

    def delete(self, experiment_id: str) -> None:
        """Forget it; the folder is left to the caller.

        Raises:
            UserError: it is running, or there is none.
        """
        with self._database.write() as connection:
            if self._get(connection, experiment_id).status == "running":
                raise UserError("The experiment is running.", where="experiment", fix="Stop it first, then delete it.")
            connection.execute(experiments.delete().where(experiments.c.id == experiment_id))

    def request_stop(self, experiment_id: str) -> ExperimentRecord:
        """A queued one is stopped at once; a running one is asked to; an ended one is left as it is."""
        with self._database.write() as connection:
            found = self._get(connection, experiment_id)
            if found.status == "queued":
                return self._set(connection, experiment_id, _ending("stopped") | {"phase": ""})
            if found.status == "running":
                return self._set(connection, experiment_id, {"stop_requested": True})
            return found

    def claim_next(self, device: str) -> ExperimentRecord | None:
        """Take the first one that waits for a device: no other process gets it. None when none waits."""
        first = (
            select(experiments.c.id)
            .where(experiments.c.status == "queued", experiments.c.device == device)
            .order_by(experiments.c.queue_position)
            .limit(1)
        )
        with self._database.write() as connection:
            experiment_id = connection.execute(first).scalar()
            return None if experiment_id is None else self._claim(connection, experiment_id)

    def claim(self, experiment_id: str, *, by: str = "studio") -> ExperimentRecord | None:
        """Take this one out of the queue, whatever stands before it; None when it does not wait any more.

        by: "studio" or "command", who will stop it in the end.
        """
        with self._database.write() as connection:
            if self._get(connection, experiment_id).status != "queued":
                return None
            return self._claim(connection, experiment_id, by)

    def _claim(self, connection: Connection, experiment_id: str, by: str = "studio") -> ExperimentRecord:
        values: dict[str, Any] = {
            "status": "running",
            "started_by": by,
            "started_at": time.time(),
            "ended_at": None,
            "phase": "Starting",
            "error": None,
            "stop_requested": False,
            "eta_seconds": None,
            "pid": None,
            "pid_started_at": None,
        }
        return self._set(connection, experiment_id, values)

    def set_running(self, experiment_id: str, pid: int, pid_started_at: float) -> ExperimentRecord:
        """Note which process works on it. One that has ended meanwhile stays ended."""
        with self._database.write() as connection:
            found = self._get(connection, experiment_id)
            if found.status not in ACTIVE:
                return found
            values: dict[str, Any] = {"status": "running", "pid": pid, "pid_started_at": pid_started_at}
            if found.started_at is None:
                values["started_at"] = time.time()
            return self._set(connection, experiment_id, values)

    def update(
        self,
        experiment_id: str,
        *,
        progress: float | None = None,
        eta_seconds: float | None = None,
        phase: str | None = None,
        scores: Mapping[str, Mapping[str, Any]] | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> None:
        """Set what is given; None leaves a field as it is. `scores` replaces the named moments only."""
        values: dict[str, Any] = {}
        if progress is not None:
            values["progress"] = max(0.0, min(1.0, progress))
        if eta_seconds is not None:
            values["eta_seconds"] = eta_seconds
        if phase is not None:
            values["phase"] = phase
        if tags is not None:
            values["tags"] = list(tags)
        with self._database.write() as connection:
            if scores is not None:
                known = self._get(connection, experiment_id).scores
                values["scores"] = {**known, **{moment: dict(found) for moment, found in scores.items()}}
            if values:
                self._set(connection, experiment_id, values)

    def finish(self, experiment_id: str, status: ExperimentStatus, error: Mapping[str, str] | None = None) -> bool:
        """End a queued or running one as finished, stopped or failed; False when it had ended already."""
        with self._database.write() as connection:
            if self._get(connection, experiment_id).status not in ACTIVE:
                return False
            values = _ending(status) | {"error": dict(error) if error else None, "phase": ""}
            if status == "finished":
                values["progress"] = 1.0
            self._set(connection, experiment_id, values)
            return True

    def requeue(self, experiment_id: str, note: str, *, at_the_end: bool = False) -> ExperimentRecord:
        """Put it back into the queue, at its old place or at the end; it goes on from its last checkpoint."""
        with self._database.write() as connection:
            found = self._get(connection, experiment_id)
            position = found.queue_position
            if at_the_end or position is None:
                position = _highest(connection, experiments.c.queue_position) + 1
            values: dict[str, Any] = {
                "status": "queued",
                "queue_position": position,
                "ended_at": None,
                "eta_seconds": None,
                "phase": note,
                "error": None,
                "stop_requested": False,
                "pid": None,
                "pid_started_at": None,
            }
            return self._set(connection, experiment_id, values)

    def reset(self, experiment_id: str) -> ExperimentRecord:
        """Forget its scores and progress, before it starts anew."""
        with self._database.write() as connection:
            return self._set(connection, experiment_id, {"scores": {}, "progress": 0.0, "started_at": None})


def _highest(connection: Connection, column: Column[Any]) -> int:
    return int(connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one())


def _ending(status: ExperimentStatus) -> dict[str, Any]:
    return {"status": status, "ended_at": time.time(), "eta_seconds": None, "stop_requested": False}
