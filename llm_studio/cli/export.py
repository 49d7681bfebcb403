"""`llm-studio export`: write the adapter or the merged model of an experiment to a file."""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from llm_studio.cli.experiment import find_experiment
from llm_studio.cli.output import open_store
from llm_studio.errors import UserError
from llm_studio.store import JobRecord, Store


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser("export", help="write the adapter or the merged model as a zip file")
    command.add_argument("experiment", help="name or id")
    command.add_argument("--what", choices=("adapter", "merged"), default="merged", help="default: merged")
    command.add_argument("--output", help="file to write (default: NAME-WHAT.zip in this folder)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Builds the export in a process of its own, also with the studio stopped, and copies the file."""
    from llm_studio.actions.exports import start_export

    store = open_store()
    record = find_experiment(store, arguments.experiment)
    target = Path(arguments.output or f"{safe(record.name)}-{arguments.what}.zip")
    if target.exists():
        raise UserError(f"{target} is there already.", where="--output", fix="Name another file, or move this one.")
    job = finish(store, start_export(store, record.id, arguments.what))
    result = job.result or {}
    shutil.copyfile(Path(str(result["path"])), target)
    print(f"Wrote {target} ({target.stat().st_size / 1e6:.1f} MB).")
    equality = result.get("equality")
    if isinstance(equality, dict):
        print(str(equality.get("sentence", equality)))
    return 0


def finish(store: Store, job: JobRecord) -> JobRecord:
    """Runs the job here unless a running studio has taken it, and waits for its end.

    Raises:
        UserError: the job failed or was cancelled.
    """
    job = store.jobs.get(job.id)
    process = None
    if job.status == "queued" and not store.supervisor_is_alive():
        command = [sys.executable, "-m", "llm_studio.worker.data_job", job.id, "--home", str(store.home.path)]
        process = subprocess.Popen(command)
    said = ""
    while job.status in ("queued", "running"):
        if job.message != said:
            said = job.message
            print(said, file=sys.stderr)
        if process is not None and process.poll() is not None and store.jobs.get(job.id).status == job.status:
            what = "The export process ended before it was done."
            raise UserError(what, where=f"export job {job.id}", fix="Try again.")
        time.sleep(0.2)
        job = store.jobs.get(job.id)
    if job.status != "done":
        raise UserError.from_dict(job.error or {"what": f"The export was {job.status}."})
    return job


def safe(name: str) -> str:
    """The name with everything but letters, digits, dots and dashes replaced."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in name).strip("._") or "model"
