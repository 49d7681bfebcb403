"""A model server without a model: loads for a moment, is ready, and waits for its end."""

import argparse
import time
from pathlib import Path

from llm_studio.store import Home, Store
from llm_studio.store.processes import own_identity

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--home", type=Path)
    parsed = parser.parse_args()
    store = Store.open(Home(parsed.home))
    pid, started_at = own_identity()
    store.servers.set_loading(parsed.server, pid, started_at)
    store.servers.set_ready(parsed.server, 12345)
    time.sleep(600)
