"""Starts the processes of an experiment on several devices with torchrun, and says how they ended when they cannot.

Run as `python -m llm_studio.worker.launch EXPERIMENT_ID --home HOME --processes N`. It is torchrun by its API, with two
differences: the processes meet in a file, since torchrun's usual store listens on every network of the machine and
unpickles what it is sent; and an end without a word is told in plain ones. All of them end together: when one fails the
others are ended, and when this one is killed they are too.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from llm_studio.config import from_yaml
from llm_studio.config.device_names import places
from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.worker.endings import why_it_ended
from llm_studio.worker.ranks import LAUNCHER, OUT_OF_MEMORY
from llm_studio.worker.start import EXPERIMENT, clear_unless_resuming, log_name

END_SECONDS = 20
"""After SIGTERM, so that the first process can write a checkpoint; then SIGKILL."""
FAILED = 1


def main() -> int:
    """Runs them to their end; 0 when the experiment finished or was stopped, 1 when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--processes", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what it would say is said in our words
    store = Store.open(Home(arguments.home))
    try:
        failures = launched(arguments.experiment, arguments.home, arguments.processes)
        while may_help(store, arguments.experiment, failures):
            clear_unless_resuming(store.home.experiment(arguments.experiment))
            failures = launched(arguments.experiment, arguments.home, arguments.processes)
        conclude(store, arguments.experiment, failures)
        record = store.experiments.get(arguments.experiment)
        store.leases.release(record.device, "experiment", record.id)
        return FAILED if record.status == "failed" else 0
    finally:
        store.close()


def may_help(store: Store, experiment_id: str, failures: dict[int, int]) -> bool:
    """Whether to start them again, from the last state and with smaller micro-batches, since memory ran out."""
    record = store.experiments.get(experiment_id)
    return OUT_OF_MEMORY in failures.values() and record.status == "running" and not record.stop_requested


def conclude(store: Store, experiment_id: str, failures: dict[int, int]) -> None:
    """Say how the experiment ended, unless one of its processes has; remove logs that nobody wants."""
    record = store.experiments.get(experiment_id)
    killed = any(is_cause(code) for code in failures.values())
    if not failures or (record.stop_requested and not killed):
        store.experiments.finish(experiment_id, "stopped")
    else:
        error = why(store, experiment_id, failures)
        if store.experiments.finish(experiment_id, "failed", error.as_dict()):
            print(error, flush=True)
    folder = store.home.experiment(experiment_id)
    config = from_yaml((folder / "config.yaml").read_text(encoding="utf-8")).config
    if not config.logging.log_all_ranks and store.experiments.get(experiment_id).status == "finished":
        for rank in range(1, len(places(record.device))):
            (folder / log_name(rank)).unlink(missing_ok=True)


def launched(experiment_id: str, home: Path, processes: int) -> dict[int, int]:
    """Start the processes and wait; exit codes by rank of those that failed first, negative for a signal."""
    folder = Path(tempfile.mkdtemp(prefix="llm-studio-"))
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # else it opens one more store, on every network
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=experiment_id,
        rdzv_backend="c10d",
        rdzv_endpoint=str(folder / "meeting"),
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        shutdown_timeout=END_SECONDS,
    )
    command, *words = [*EXPERIMENT, experiment_id, "--home", str(home)]
    try:
        elastic_launch(config, command)(*words)
    except ChildFailedError as error:
        return {rank: int(failure.exitcode) for rank, failure in error.failures.items()}
    except SignalException:
        pass  # the processes were told to end and did: the first has said how
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def why(store: Store, experiment_id: str, failures: dict[int, int]) -> UserError:
    """The error for processes that ended without a word: one that was ended from outside is the cause of the rest."""
    rank = min(failures, key=lambda one: (not is_cause(failures[one]), failures[one] < 0, one))
    record = store.experiments.get(experiment_id)
    log = store.home.experiment(experiment_id) / log_name(rank)
    return why_it_ended(f"experiment's process {rank + 1} ({places(record.device)[rank]})", failures[rank], log)


def is_cause(code: int) -> bool:
    """Whether an exit code says that a process was ended from outside, and not by us after another one had failed."""
    return code < 0 and code != -signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main())
