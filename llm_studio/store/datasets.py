"""The data sets of the studio."""

import builtins
import time
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from llm_studio.store.records import DatasetRecord
from llm_studio.store.repository import Repository, checked_name, name_taken, new_id
from llm_studio.store.tables import datasets


class Datasets(Repository[DatasetRecord]):
    """Rows about data sets; the files belong to `data`."""

    table = datasets
    words = "data set"
    record = DatasetRecord

    def create(
        self,
        *,
        name: str,
        row_count: int,
        train_rows: int,
        validation_rows: int,
        settings: dict[str, Any],
        fingerprint: str,
        source: str,
        size_bytes: int,
        problem_type: str = "causal_lm",
        id: str | None = None,  # noqa: A002 - the field is called so
    ) -> DatasetRecord:
        """Add a data set; `id` is given by a caller who has made the folder of this id already.

        Raises:
            UserError: the name is empty, too long or taken.
        """
        name = checked_name(name)
        values: dict[str, Any] = {
            "id": id or new_id(),
            "name": name,
            "created_at": time.time(),
            "row_count": row_count,
            "train_rows": train_rows,
            "validation_rows": validation_rows,
            "settings": settings,
            "fingerprint": fingerprint,
            "source": source,
            "size_bytes": size_bytes,
            "problem_type": problem_type,
        }
        try:
            with self._database.write() as connection:
                connection.execute(datasets.insert().values(**values))
                return self._get(connection, values["id"])
        except IntegrityError as error:
            raise name_taken(self.words, name) from error

    def list(self) -> builtins.list[DatasetRecord]:
        """All, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(datasets).order_by(datasets.c.created_at.desc())).all()
        return [self._record(row) for row in rows]

    def update(self, dataset_id: str, **changes: Any) -> DatasetRecord:
        """Set some fields; the id, the name and the date are not among them."""
        allowed = set(datasets.c.keys()) - {"id", "name", "created_at"}
        if unknown := set(changes) - allowed:
            raise TypeError(f"a data set has no field to set called {', '.join(sorted(unknown))}")
        with self._database.write() as connection:
            return self._set(connection, dataset_id, changes)

    def delete(self, dataset_id: str) -> None:
        """Forget it; nothing happens when there is none."""
        with self._database.write() as connection:
            connection.execute(datasets.delete().where(datasets.c.id == dataset_id))
