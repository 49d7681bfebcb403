"""What all repositories share: rows of one table as frozen records, found by id."""

import secrets
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.exc import IntegrityError

from llm_studio.errors import UserError
from llm_studio.store.database import Database

Record = TypeVar("Record")
LONGEST_NAME = 80


class Repository(Generic[Record]):
    """One table. `words` names one row for the user ("experiment", "data set")."""

    table: ClassVar[Table]
    words: ClassVar[str]
    record: type[Record]

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, record_id: str) -> Record:
        """The record of an id.

        Raises:
            UserError: there is none.
        """
        with self._database.read() as connection:
            return self._get(connection, record_id)

    def find(self, record_id: str) -> Record | None:
        """The record of an id, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(self.table).where(self.table.c.id == record_id)).first()
        return None if row is None else self._record(row)

    def _get(self, connection: Connection, record_id: str) -> Record:
        row = connection.execute(select(self.table).where(self.table.c.id == record_id)).first()
        if row is None:
            raise UserError(
                f"There is no {self.words} {record_id[:40]}.", fix="It may have been deleted; open one from the list."
            )
        return self._record(row)

    def _record(self, row: Row[Any]) -> Record:
        return self.record(**row._mapping)

    def _set(self, connection: Connection, record_id: str, values: dict[str, Any]) -> Record:
        connection.execute(self.table.update().where(self.table.c.id == record_id).values(**values))
        return self._get(connection, record_id)

    def free_name(self, wanted: str) -> str:
        """The wanted name, shortened to fit, with 2, 3, ... behind it when another one has it."""
        with self._database.read() as connection:
            taken = {name.lower() for name in connection.execute(select(self.table.c.name)).scalars()}
        base = " ".join(wanted.split())[: LONGEST_NAME - 5].strip() or self.words
        candidates = (base if number == 1 else f"{base} {number}" for number in range(1, len(taken) + 2))
        return next(name for name in candidates if name.lower() not in taken)

    def rename(self, record_id: str, name: str) -> Record:
        """Give it another name.

        Raises:
            UserError: there is none of that id; the name is empty, too long or taken.
        """
        name = checked_name(name)
        try:
            with self._database.write() as connection:
                return self._set(connection, record_id, {"name": name})
        except IntegrityError as error:
            raise name_taken(self.words, name) from error


def new_id() -> str:
    """Ten lower-case hexadecimal characters."""
    return secrets.token_hex(5)


def checked_name(name: str) -> str:
    """The name without outer white space, line breaks as spaces.

    Raises:
        UserError: it is empty or longer than 80 characters.
    """
    name = " ".join(name.split())
    if not name:
        raise UserError("The name is empty.", where="Name", fix="Type at least one character.")
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"The name has {len(name)} characters; at most {LONGEST_NAME} are allowed.",
            where="Name",
            fix="Choose a shorter name.",
        )
    return name


def name_taken(words: str, name: str) -> UserError:
    """The error for a name that another one has."""
    return UserError(f"There is a {words} called {name} already.", where="Name", fix="Choose another name.")
