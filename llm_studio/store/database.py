"""One SQLite file in write-ahead mode, shared by several processes; its schema has a version.

A transaction that writes begins with BEGIN IMMEDIATE: it waits for its turn at the start, where SQLite's busy timeout
applies, instead of failing in the middle, where it does not (https://sqlite.org/lang_transaction.html, 2.2).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.exc import DatabaseError

from llm_studio.errors import UserError
from llm_studio.store.tables import metadata, schema_version

BUSY_SECONDS = 20.0
Migration = Sequence[str]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "ALTER TABLE experiments ADD COLUMN continued_what VARCHAR",
        "ALTER TABLE experiments ADD COLUMN continued_which VARCHAR",
    ),
)
"""At index n the statements that lead from version n + 1 to n + 2; the tables in `tables.py` are the newest."""


class Database:
    """Short transactions on one file; safe from several threads and processes."""

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self._engine = open_engine(path)
        try:
            self._prepare(path, migrations)
        except DatabaseError as error:
            self.close()
            raise UserError(
                f"The studio's database cannot be read: {error.orig}.",
                where=str(path),
                fix="Put back a copy of the file, or move it away: the studio then starts with an empty list.",
            ) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, path: Path, migrations: Sequence[Migration]) -> None:
        newest = 1 + len(migrations)
        with self.read() as connection:
            if inspect(connection).has_table("schema_version"):
                found = connection.execute(select(schema_version.c.version)).scalar()
                if found == newest:
                    return
        with self.write() as connection:
            if not inspect(connection).has_table("schema_version"):
                metadata.create_all(connection)
                connection.execute(schema_version.insert().values(version=newest))
                return
            found = connection.execute(select(schema_version.c.version)).scalar_one()
            if found > newest:
                raise UserError(
                    f"This home was written by a newer LLM Studio (schema {found}; this one knows {newest}).",
                    where=str(path),
                    fix="Update LLM Studio, or choose another folder in LLM_STUDIO_HOME.",
                )
            for migration in migrations[found - 1 :]:
                for statement in migration:
                    connection.exec_driver_sql(statement)
            connection.execute(schema_version.update().values(version=newest))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot that stays the same until the end of the block."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises."""
        with self._engine.connect().execution_options(begins_with="BEGIN IMMEDIATE") as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_engine(path: Path) -> Engine:
    """An engine whose connections wait for each other and begin their transactions as we say."""
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, pool_size=8
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begins_with", "BEGIN"))

    return engine
