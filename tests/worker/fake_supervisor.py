"""The real supervisor with trainers, servers and data jobs that need no model."""

import sys
from pathlib import Path

from llm_studio.store import Store
from llm_studio.worker.supervisor import Supervisor, main

HERE = Path(__file__).parent


def make(store: Store) -> Supervisor:
    return Supervisor(
        store,
        experiment=[sys.executable, str(HERE / "fake_trainer.py")],
        server=[sys.executable, str(HERE / "fake_server.py")],
        data_job=[sys.executable, str(HERE / "fake_data_job.py")],
        idle_seconds=2.0,
        stop_seconds=3.0,
    )


if __name__ == "__main__":
    sys.exit(main(make=make))
