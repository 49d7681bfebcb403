"""Conversations with tuned models, kept until the user clears them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from llm_studio.store.records import ChatRecord
from llm_studio.store.repository import Repository, new_id
from llm_studio.store.tables import chats


class Chats(Repository[ChatRecord]):
    """Rows about chats; a message is {"role": ..., "content": ...}."""

    table = chats
    words = "chat"
    record = ChatRecord

    def create(self, experiment_id: str, title: str = "", settings: Mapping[str, Any] | None = None) -> ChatRecord:
        """Begin a chat."""
        chat_id = new_id()
        values = {"id": chat_id, "experiment_id": experiment_id, "title": title, "created_at": time.time()}
        with self._database.write() as connection:
            connection.execute(chats.insert().values(**values, messages=[], settings=dict(settings or {})))
            return self._get(connection, chat_id)

    def list(self, experiment_id: str | None = None) -> list[ChatRecord]:
        """Newest first."""
        query = select(chats).order_by(chats.c.created_at.desc())
        if experiment_id is not None:
            query = query.where(chats.c.experiment_id == experiment_id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [self._record(row) for row in rows]

    def append(self, chat_id: str, *messages: Mapping[str, str]) -> ChatRecord:
        """Add messages at the end."""
        with self._database.write() as connection:
            kept = [*self._get(connection, chat_id).messages, *(dict(message) for message in messages)]
            return self._set(connection, chat_id, {"messages": kept})

    def replace(self, chat_id: str, messages: Sequence[Mapping[str, str]]) -> ChatRecord:
        """Set all messages, for an answer that is made again."""
        with self._database.write() as connection:
            return self._set(connection, chat_id, {"messages": [dict(message) for message in messages]})

    def update(
        self, chat_id: str, *, title: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> ChatRecord:
        """Set the title, the sampling settings, or both."""
        values: dict[str, Any] = {}
        if title is not None:
            values["title"] = title
        if settings is not None:
            values["settings"] = dict(settings)
        with self._database.write() as connection:
            return self._set(connection, chat_id, values) if values else self._get(connection, chat_id)

    def clear(self, chat_id: str) -> ChatRecord:
        """Remove all messages."""
        return self.replace(chat_id, [])

    def delete(self, chat_id: str) -> None:
        """Forget the chat; nothing happens when there is none."""
        with self._database.write() as connection:
            connection.execute(chats.delete().where(chats.c.id == chat_id))

    def delete_of(self, experiment_id: str) -> None:
        """Forget all chats with one experiment."""
        with self._database.write() as connection:
            connection.execute(chats.delete().where(chats.c.experiment_id == experiment_id))
