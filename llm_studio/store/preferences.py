"""What the studio remembers for its user: theme, level of settings, allowed folders; any JSON value under a key."""

from typing import Any

from sqlalchemy import select

from llm_studio.store.database import Database
from llm_studio.store.tables import preferences


class Preferences:
    """Keys and JSON values."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        with self._database.read() as connection:
            row = connection.execute(select(preferences.c.value).where(preferences.c.key == key)).first()
        return default if row is None else row.value

    def set(self, key: str, value: Any) -> None:
        """Remember a value."""
        with self._database.write() as connection:
            connection.execute(preferences.delete().where(preferences.c.key == key))
            connection.execute(preferences.insert().values(key=key, value=value))

    def delete(self, key: str) -> None:
        """Forget a key."""
        with self._database.write() as connection:
            connection.execute(preferences.delete().where(preferences.c.key == key))
