"""Takes a tuned model out of the studio: asks for a file, which a data job builds and checks."""

from typing import Literal

from llm_studio.actions.serving import checkpoint_folder
from llm_studio.errors import UserError
from llm_studio.store import JobRecord, Store

KIND = "export"
What = Literal["adapter", "merged"]


def start_export(store: Store, experiment_id: str, what: str) -> JobRecord:
    """Ask for adapter.zip or merged.zip; a job for the same file that waits or runs is given back.

    The job's result holds "path", "filename", "size_bytes" and "equality" (what the comparison with the tuned model
    found, with a "sentence").

    Raises:
        UserError: nothing was saved yet, the experiment still runs, or it has no adapter.
    """
    record = store.experiments.get(experiment_id)
    if what not in ("adapter", "merged"):
        raise UserError(f"There is no export {what!r}.", where="export", fix="Choose adapter or merged.")
    if record.status in ("queued", "running"):
        fix = "Wait until it has ended, or stop it: what was learned so far is kept."
        raise UserError(f"{record.name} is {record.status}.", where=f"experiment {record.name}", fix=fix)
    folder = checkpoint_folder(store, experiment_id)
    if folder is None:
        fix = "Continue it, or start it again."
        raise UserError(f"{record.name} has no saved weights.", where=f"experiment {record.name}", fix=fix)
    if what == "adapter" and not (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{record.name} was tuned in full, so there is no adapter.",
            where=f"experiment {record.name}",
            fix="Export the merged model instead.",
        )
    for job in store.jobs.list(kind=KIND, subject=experiment_id, active=True):
        if job.params.get("what") == what:
            return job
    return store.jobs.create(KIND, {"experiment_id": experiment_id, "what": what}, subject=experiment_id)
