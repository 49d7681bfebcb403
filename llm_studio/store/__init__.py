"""All that the pages and the worker share: the home, one database, and the charts of each experiment.

Only this package speaks SQL; everybody else gets frozen records.
"""

from pathlib import Path
from typing import Self

from llm_studio.errors import UserError
from llm_studio.store.chats import Chats
from llm_studio.store.database import Database
from llm_studio.store.datasets import Datasets
from llm_studio.store.experiments import Experiments
from llm_studio.store.home import Home
from llm_studio.store.jobs import Jobs
from llm_studio.store.leases import SUPERVISOR, Leases
from llm_studio.store.preferences import Preferences
from llm_studio.store.preflights import Preflights
from llm_studio.store.records import (
    ChatRecord,
    DatasetRecord,
    ExperimentRecord,
    JobRecord,
    LeaseRecord,
    ServerRecord,
)
from llm_studio.store.secrets import Secrets
from llm_studio.store.servers import Servers

__all__ = [
    "ChatRecord",
    "DatasetRecord",
    "ExperimentRecord",
    "Home",
    "JobRecord",
    "LeaseRecord",
    "ServerRecord",
    "Store",
]


class Store:
    """The repositories of one home; safe from several threads and processes at once."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self._database = database
        self.datasets = Datasets(database)
        self.experiments = Experiments(database, home)
        self.jobs = Jobs(database)
        self.servers = Servers(database)
        self.leases = Leases(database)
        self.chats = Chats(database)
        self.preferences = Preferences(database)
        self.secrets = Secrets(home)
        self.preflights = Preflights(home)

    @classmethod
    def open(cls, home: Home | Path) -> Self:
        """Open the home, making what is missing; an older home is brought up to date.

        Raises:
            UserError: the home cannot be written, or a newer LLM Studio wrote it.
        """
        home = home if isinstance(home, Home) else Home(home)
        try:
            home.create()
        except OSError as error:
            raise UserError(
                f"The studio's home cannot be made: {error.strerror}.",
                where=str(home.path),
                fix="Set LLM_STUDIO_HOME to a folder that you may write.",
            ) from error
        return cls(home, Database(home.database))

    def supervisor_is_alive(self) -> bool:
        """Whether a process takes care of the queue now."""
        return self.leases.holder(SUPERVISOR) is not None

    def close(self) -> None:
        """Close the database."""
        self._database.close()
