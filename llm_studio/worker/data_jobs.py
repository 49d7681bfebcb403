"""What data jobs there are: a kind and the function that does it. One line each; imported only when such a job runs."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from llm_studio.errors import BugError
from llm_studio.store import Home, JobRecord, Store

Report = Callable[[float | None, str], None]
"""report(share done in [0, 1] or None, what happens now). Raises Cancelled when the user wants the job to end."""

Run = Callable[[Home, Store, JobRecord, Report], dict[str, Any]]

KINDS: dict[str, str] = {
    "import_read": "llm_studio.data.jobs:import_read",
    "import_merge": "llm_studio.data.merging:run",
    "import_finish": "llm_studio.actions.finishing:run_finish",
    "dataset_update": "llm_studio.actions.updating:run_update",
    "dataset_search": "llm_studio.data.browse:run_search",
    "dataset_order": "llm_studio.data.browse:run_order",
    "dataset_statistics": "llm_studio.data.jobs:dataset_statistics",
    "dataset_tokens": "llm_studio.modeling.token_job:run",
    "dataset_health": "llm_studio.data.health.job:run",
    "preflight": "llm_studio.worker.preflight_job:run",
    "export": "llm_studio.modeling.export:run",
}


def function_of(kind: str) -> Run:
    """The function that does jobs of a kind.

    Raises:
        BugError: there is none.
    """
    if kind not in KINDS:
        raise BugError(f"no data job of kind {kind!r}; there are {', '.join(KINDS)}")
    module, name = KINDS[kind].split(":")
    found: Run = getattr(import_module(module), name)
    return found
