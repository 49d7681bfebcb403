"""`llm-studio train`: run one experiment from a YAML file, in the process the studio uses, and stream its log."""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

from llm_studio.cli.dataset import find_dataset, say_large
from llm_studio.cli.output import open_store
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, Store

if TYPE_CHECKING:
    from llm_studio.actions.starting_from import Start
    from llm_studio.config import ExperimentConfig, Finding, Loaded

POLL_SECONDS = 0.1
BYTES_AT_ONCE = 1_000_000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "train",
        help="run one experiment from a YAML file",
        usage="llm-studio train CONFIG.yaml [--section.setting VALUE ...] [--preset NAME] [--dry-run] "
        "[--from EXPERIMENT [--take WHAT] [--checkpoint WHICH]]",
        epilog="Every setting of `llm-studio settings` can be changed here: --training.learning_rate 2e-3",
    )
    command.add_argument("config", help="YAML file, of this studio or of H2O LLM Studio")
    command.add_argument("--preset", help="quick, balanced or quality: the values the file does not set")
    command.add_argument("--dry-run", action="store_true", help="check, print the resolved config and every warning")
    command.add_argument("--from", dest="origin", metavar="EXPERIMENT", help="start from its weights: name or id")
    command.add_argument(
        "--take",
        choices=("adapter", "merged"),
        default="adapter",
        help="with --from: go on with its adapter, or merge it into the backbone first and train anything on that",
    )
    command.add_argument("--checkpoint", choices=("best", "last"), default="best", help="with --from: which of its two")
    command.set_defaults(run=run, takes_settings=True)


def run(arguments: argparse.Namespace) -> int:
    """Trains and streams the log.

    Returns:
        0 when it finished or was stopped, 1 when it failed.
    """
    from llm_studio.actions.experiments import start_experiment
    from llm_studio.actions.judging import judge_findings
    from llm_studio.actions.starting_from import start_findings

    store = open_store()
    loaded = read_yaml(Path(arguments.config), overrides(arguments.rest), arguments.preset)
    report_taken(loaded)
    dataset = dataset_of(store, loaded, Path(arguments.config), keep=not arguments.dry_run)
    config = loaded.config if dataset is None else loaded.config.with_changes({"dataset_id": dataset.id})
    start = start_of(store, arguments)
    if arguments.dry_run:
        starting = start_findings(store, config, start) if start else ()
        return dry_run(config, dataset, (*judge_findings(store, config), *starting))
    taken = store.experiments.free_name(config.experiment_name)
    record = start_experiment(store, config.with_changes({"experiment_name": taken}), start=start)
    log = store.home.experiment(record.id) / "log.txt"
    print(f"Experiment {record.name} ({record.id}); log: {log}", file=sys.stderr)
    return follow(store, record)


def start_of(store: Store, arguments: argparse.Namespace) -> "Start | None":
    """What --from, --take and --checkpoint name; None for a start from the backbone.

    Raises:
        UserError: there is no such experiment.
    """
    from llm_studio.actions.starting_from import Start
    from llm_studio.cli.experiment import find_experiment

    if arguments.origin is None:
        return None
    return Start(find_experiment(store, arguments.origin).id, arguments.take, arguments.checkpoint)


def overrides(rest: Sequence[str]) -> dict[str, str]:
    """`--training.lora_r 8` and `--training.lora_r=8` as setting -> text.

    Raises:
        UserError: something else stands there.
    """
    found: dict[str, str] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise UserError(f"{word!r} is not a setting.", where="command line", fix="Write --section.setting VALUE.")
        if not equals:
            if not words:
                raise UserError(f"{word} has no value.", where="command line", fix=f"Write {word} VALUE.")
            value = words.pop(0)
        found[name] = value
    return found


def read_yaml(path: Path, changes: dict[str, str], preset: str | None) -> "Loaded":
    """The config of the file with the changes of the command line.

    Raises:
        UserError: the file cannot be read, or settings are wrong (all of them at once).
    """
    from llm_studio.config import from_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"{path} cannot be read: {reason}.", where=str(path), fix="Name a YAML file.") from error
    return from_yaml(text, changes=changes, preset=preset)


def report_taken(loaded: "Loaded") -> None:
    """Says on standard error what of the file was renamed, replaced or not known."""
    for title, notes in (("renamed", loaded.renamed), ("replaced", loaded.replaced), ("not known", loaded.unknown)):
        for note in notes:
            print(f"{title}: {note}", file=sys.stderr)


def dataset_of(store: Store, loaded: "Loaded", path: Path, *, keep: bool) -> DatasetRecord | None:
    """The data set of the file by name or id; a file of H2O LLM Studio names a data file, which is imported.

    Raises:
        UserError: there is none.
    """
    if loaded.config.dataset_id:
        return find_dataset(store, loaded.config.dataset_id)
    if not loaded.data_file:
        raise UserError(
            "The file names no data set.", where=f"{path}: dataset_id", fix="Add dataset_id: NAME, as in dataset list."
        )
    data_file = Path(loaded.data_file).expanduser()
    data_file = data_file if data_file.is_absolute() else path.parent / data_file
    if not data_file.is_file():
        raise UserError(
            f"The data file {data_file} is not there.",
            where=f"{path}: dataset.train_dataframe",
            fix="Correct the path.",
        )
    if not keep:
        print(f"would import: {data_file}", file=sys.stderr)
        return None
    from llm_studio.actions.datasets import import_dataset

    settings = loaded.dataset_settings or {}
    own = settings.pop("validation_dataframe", None)
    return import_dataset(
        store,
        {"kind": "local", "path": str(data_file.resolve())},
        name=store.datasets.free_name(data_file.stem),
        changes={name: value for name, value in settings.items() if name != "train_dataframe"},
        validation_file=(path.parent / str(own)).resolve() if own else None,
        report=say_large(),
    )


def dry_run(config: "ExperimentConfig", dataset: DatasetRecord | None, more: "Iterable[Finding]" = ()) -> int:
    """Prints the resolved config on standard output and every finding on standard error; 2 when one is an error."""
    from llm_studio.config import check, to_yaml

    print(to_yaml(config), end="")
    rows = (dataset.train_rows, dataset.validation_rows) if dataset else (0, 0)
    findings = check(config, train_rows=rows[0], validation_rows=rows[1], device="cpu") if dataset else ()
    findings = (*findings, *more)
    for finding in findings:
        print(f"{finding.level}: {finding.what} ({finding.path}) {finding.fix}".rstrip(), file=sys.stderr)
    return 2 if any(finding.level == "error" for finding in findings) else 0


def follow(store: Store, record: ExperimentRecord, *, from_here: bool = False) -> int:
    """Streams the log until the experiment has ended; Ctrl-C asks it to stop with a checkpoint.

    from_here: without what the log holds already.
    """
    log = Tail(store.home.experiment(record.id) / "log.txt", from_here=from_here)
    process: Popen[bytes] | None = None
    waiting = ""
    while True:
        try:
            current = store.experiments.get(record.id)
            if current.status == "queued" and process is None:
                process = start_here(store, record)
                if process is None and waiting != current.phase:
                    waiting = current.phase
                    print(f"{waiting} ...", file=sys.stderr)
            log.print_new()
            if current.status not in ("queued", "running"):
                break
            if process is not None and process.poll() is not None and current.status == "running":
                end_badly(store, record, process.returncode)
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            print("Stopping; it saves a checkpoint first.", file=sys.stderr)
            store.experiments.request_stop(record.id)
    if process is not None:
        process.wait()
    log.print_new()
    return tell_end(store.experiments.get(record.id))


def start_here(store: Store, record: ExperimentRecord) -> "Popen[bytes] | None":
    """Starts the process of the experiment, unless a running studio will, or its device is taken."""
    if store.supervisor_is_alive():
        return None
    from llm_studio.worker.start import run_experiment

    return run_experiment(store, record, by="command", ends_with_parent=True)


def end_badly(store: Store, record: ExperimentRecord, code: int) -> None:
    """Marks the experiment failed when its process ended without saying how."""
    from llm_studio.worker.endings import why_an_experiment_ended

    if store.experiments.get(record.id).status == "running":
        error = why_an_experiment_ended(store.home.experiment(record.id), code, None)
        store.experiments.finish(record.id, "failed", error.as_dict())


def tell_end(record: ExperimentRecord) -> int:
    """Says how it ended."""
    scores: dict[str, Any] = record.scores
    for moment in ("before", "last", "best"):
        if scores.get(moment):
            line = ", ".join(f"{name} {value:.4g}" for name, value in scores[moment].items() if value is not None)
            print(f"{moment}: {line}", file=sys.stderr)
    print(f"{record.name}: {record.status}", file=sys.stderr)
    if record.status != "failed":
        return 0
    print(UserError.from_dict(record.error or {"what": "The experiment failed."}), file=sys.stderr)
    return 1


class Tail:
    """Prints what a growing file has gained."""

    def __init__(self, path: Path, *, from_here: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_here and path.is_file() else 0

    def print_new(self) -> None:
        """Everything since the last call; nothing while the file is not there."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while block := file.read(BYTES_AT_ONCE):
                self._offset += len(block)
                sys.stdout.write(block.decode("utf-8", errors="replace"))
        sys.stdout.flush()
