"""`llm-studio dataset`: import, list, show and delete data sets."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_studio.cli.output import open_store, print_json, print_table
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, Store

QUIET_SECONDS = 2.0
SECONDS_BETWEEN_LINES = 1.0
SOURCES = {
    "hub:": (
        r"(?P<repository>[^/@:]+/[^/@:]+)(@(?P<revision>[^:]+?))?(/(?P<config>[^/:]+))?(:(?P<split>[^/:]+))?",
        "hub:owner/name[@revision][/config][:split]",
    ),
    "s3://": (r"(?P<bucket>[^/]+)/(?P<key>.+)", "s3://bucket/key"),
    "azure:": (r"(?P<container>[^/]+)/(?P<blob>.+)", "azure:container/blob"),
    "kaggle:": (r"(?P<dataset>[^/]+/[^/]+)(/(?P<file>.+))?", "kaggle:owner/name[/file]"),
}
SOURCES_HELP = "a file, starter:NAME for a bundled sample, https://…, " + ", ".join(one for _, one in SOURCES.values())
CREDENTIALS = """credentials come from the studio's settings or the environment:
  hub     HF_TOKEN
  s3      AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, or ~/.aws
  azure   AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN
  kaggle  KAGGLE_USERNAME and KAGGLE_KEY"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    verbs = commands.add_parser("dataset", help="import, list, show, delete").add_subparsers(
        dest="verb", required=True, metavar="VERB"
    )
    add = verbs.add_parser(
        "import",
        help="import a file or what a source holds: CSV, JSON, Parquet, Arrow, Excel, text, or packed",
        epilog=CREDENTIALS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("file", help=SOURCES_HELP)
    add.add_argument("--name", help="name of the data set (default: the file's name)")
    add.add_argument("--prompt-column", action="append", help="column of the prompt; may be given several times")
    add.add_argument("--answer-column", help="column of the answer")
    add.add_argument("--system-column", help="column of the system text")
    add.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the data set, such as layout=messages; `llm-studio settings` lists them",
    )
    add.add_argument("--validation-file", help="own validation file of the same layout")
    add.add_argument("--validation-size", type=float, help="share of the rows to hold out, 0.01 to 0.95")
    add.add_argument("--leave-out-unusable", action="store_true", help="import without the rows that cannot be used")
    add.add_argument("--json", action="store_true", help="print JSON")
    add.set_defaults(run=run_import)
    listing = verbs.add_parser("list", help="all data sets, newest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="one data set: settings, split, first rows")
    show.add_argument("dataset", help="name or id")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=run_show)
    look = verbs.add_parser("inspect", help="look at a file without importing it: layout, counts, findings, tokens")
    look.add_argument("file", help=SOURCES_HELP)
    look.add_argument("--backbone", help="also count tokens with this backbone's tokenizer, such as starter")
    look.add_argument("--json", action="store_true", help="print JSON")
    look.set_defaults(run=run_inspect)
    export = verbs.add_parser("export", help="write the rows of one part as JSON Lines, with their row numbers")
    export.add_argument("dataset", help="name or id")
    export.add_argument("file", help="where to write")
    export.add_argument("--part", choices=("train", "validation", "test"), default="train", help="default: train")
    export.set_defaults(run=run_export)
    delete = verbs.add_parser("delete", help="delete a data set that no experiment uses")
    delete.add_argument("dataset", help="name or id")
    delete.set_defaults(run=run_delete)


def find_dataset(store: Store, name: str) -> DatasetRecord:
    """By id or by name.

    Raises:
        UserError: there is none, with the names that there are.
    """
    records = store.datasets.list()
    for record in records:
        if name in (record.id, record.name):
            return record
    known = ", ".join(record.name for record in records[:10]) or "none yet"
    raise UserError(f"There is no data set {name!r}.", where="data set", fix=f"Take one of: {known}.")


def source_of(file: str) -> dict[str, str]:
    """The source to import, as SOURCES says; anything else is a file on this machine.

    Raises:
        UserError: it begins like a source and does not go on like one.
    """
    if file.startswith("starter:"):
        return {"kind": "starter", "name": file.removeprefix("starter:")}
    if file.startswith(("https://", "http://")):
        return {"kind": "https", "url": file}
    for start, (pattern, example) in SOURCES.items():
        if file.startswith(start):
            match = re.fullmatch(pattern, file.removeprefix(start))
            if match is None:
                raise UserError(f"{file} is not a source.", where="file", fix=f"Write it as {example}.")
            parts = {name: value for name, value in match.groupdict().items() if value}
            return {"kind": start.rstrip(":/"), **parts}
    return {"kind": "local", "path": str(Path(file).expanduser().resolve())}


def run_import(arguments: argparse.Namespace) -> int:
    """Imports with the guessed columns, changed by the options."""
    from llm_studio.actions.datasets import import_dataset

    changes: dict[str, object] = {
        "prompt_column": tuple(arguments.prompt_column) if arguments.prompt_column else None,
        "answer_column": arguments.answer_column,
        "system_column": arguments.system_column,
        "validation_size": arguments.validation_size,
    }
    record = import_dataset(
        open_store(),
        source_of(arguments.file),
        name=arguments.name,
        changes={name: value for name, value in changes.items() if value is not None} | settings_of(arguments.set),
        validation_file=Path(arguments.validation_file).resolve() if arguments.validation_file else None,
        report=say_large(),
        leave_out=arguments.leave_out_unusable,
    )
    if arguments.json:
        print_json(record)
    else:
        print(f"Imported {record.name}: {record.train_rows} rows to learn from, {record.validation_rows} held out.")
    return 0


def settings_of(given: Sequence[str]) -> dict[str, object]:
    """Settings of the form NAME=VALUE; several columns are separated by commas.

    Raises:
        UserError: no such setting, or no value.
    """
    from llm_studio.config import all_settings

    kinds = {info.name: info.kind for info in all_settings() if info.scope == "dataset"}
    found: dict[str, object] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if name not in kinds or not equals:
            raise UserError(
                f"{one!r} sets nothing.",
                where="--set",
                fix=f"Write NAME=VALUE with one of: {', '.join(sorted(kinds))}.",
            )
        found[name] = tuple(part for part in value.split(",") if part) if kinds[name] == "multi" else value
    return found


def say_large() -> Callable[[float | None, str], None]:
    """Prints progress on standard error once a second from the second second on; a small file needs none."""
    next_at = time.monotonic() + QUIET_SECONDS

    def say(share: float | None, message: str) -> None:
        nonlocal next_at
        if time.monotonic() > next_at:
            next_at = time.monotonic() + SECONDS_BETWEEN_LINES
            print(message, file=sys.stderr)

    return say


def run_list(arguments: argparse.Namespace) -> int:
    """Prints one line per data set."""
    records = open_store().datasets.list()
    if arguments.json:
        print_json(records)
        return 0
    lines = [
        {
            "id": record.id,
            "name": record.name,
            "rows": record.row_count,
            "training": record.train_rows,
            "validation": record.validation_rows,
            "source": record.source,
        }
        for record in records
    ]
    print_table(lines, "No data sets yet. Import one: llm-studio dataset import FILE")
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Prints one data set with its first conversations."""
    from llm_studio.data import open_dataset

    store = open_store()
    record = find_dataset(store, arguments.dataset)
    if arguments.json:
        print_json(record)
        return 0
    print(f"{record.name} ({record.id}): {record.row_count} rows, {record.train_rows} to learn from, ", end="")
    print(f"{record.validation_rows} held out; fingerprint {record.fingerprint[:12]}")
    for name, value in record.settings.items():
        print(f"  {name} = {value!r}")
    for conversation in open_dataset(store.home.dataset(record.id)).conversations("train", limit=2):
        print(f"\nRow {conversation.row}")
        for message in conversation.messages:
            print(f"  {message.role}: {message.text}")
    return 0


def run_inspect(arguments: argparse.Namespace) -> int:
    """Looks at a file."""
    from llm_studio.cli import inspect

    return inspect.run_inspect(arguments, source_of(arguments.file), say_large())


def run_export(arguments: argparse.Namespace) -> int:
    """Writes the rows of a part."""
    from llm_studio.actions.datasets import write_part
    from llm_studio.data import open_dataset

    store = open_store()
    record = find_dataset(store, arguments.dataset)
    rows = write_part(open_dataset(store.home.dataset(record.id)), arguments.part, Path(arguments.file).resolve())
    print(f"Wrote {rows} rows to {arguments.file}.")
    return 0


def run_delete(arguments: argparse.Namespace) -> int:
    """Deletes one data set; refused while an experiment uses it."""
    from llm_studio.actions.datasets import delete_dataset

    store = open_store()
    record = find_dataset(store, arguments.dataset)
    delete_dataset(store, record.id)
    print(f"Deleted {record.name}.")
    return 0
