"""The work of `data` that runs in processes of its own: reading an import, counting the statistics of a data set."""

import shutil
from collections.abc import Callable
from pathlib import Path

from llm_studio.data import statistics
from llm_studio.data.connectors import Source, SourceFile, address, connector_of, fetch, find_file
from llm_studio.data.connectors.form import forget
from llm_studio.data.dataset import open_dataset
from llm_studio.data.reading.progress import Report
from llm_studio.data.staging import Draft, add_validation_file, discard, read_into_staging, staging_folder
from llm_studio.errors import Cancelled, UserError
from llm_studio.starter import BACKBONE
from llm_studio.store import Home, JobRecord, Store

FETCHED = "fetched"  # folder of what a connector brought; lies in the import's own, so that it goes with it


def describe(source: Source, name: str) -> str:
    """Where a data set came from, in words."""
    entry = connector_of(source)
    return f"{address(source) if entry.fetches else name}, {entry.origin}"


def import_read(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Reads the source of an import into its staging folder.

    Params of the job: "source", and "validation" for a validation file of the user's own (both dicts of a connector).
    With "into", the id of another import, the source is the validation file of that import. Uploads are removed when
    they are read, cannot be read, or the user ends the job.
    """
    try:
        result = read_sources(home, store, job, report)
    except (UserError, Cancelled):
        remove_uploads(store, job)
        raise
    remove_uploads(store, job)
    return result


def read_sources(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """The work of `import_read`; uploads stay, so that a job that is interrupted can run again."""
    source = dict(job.params["source"])
    folder = staging_folder(home, job.id)
    discard(home, job.id)  # of a try that was interrupted
    if into := job.params.get("into"):
        try:
            file, *more = gather(store, source, folder, report)
            refuse_several(file, more)
            add_validation_file(staging_folder(home, str(into)), file, report)
        finally:
            discard(home, job.id)
        return {"into": into}
    validation = job.params.get("validation")
    validation_file = find_file(store, validation) if validation else None
    return {"name": read_source(store, source, folder, validation_file, report).name}


def read_source(
    store: Store,
    source: Source,
    folder: Path,
    validation: SourceFile | None,
    report: Report,
    find: Callable[[Store, Source], SourceFile] = find_file,
) -> Draft:
    """Fetches what is not on this machine and reads it into `folder`; what was fetched goes when it has been read.

    Raises:
        UserError, Cancelled: there is no folder.
    """
    try:
        first, *more = gather(store, source, folder, report, find)
        draft = read_into_staging(folder, first, validation, describe(source, first.name), report, more=more)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder / FETCHED, ignore_errors=True)
    return draft


def gather(
    store: Store,
    source: Source,
    folder: Path,
    report: Report,
    find: Callable[[Store, Source], SourceFile] = find_file,
) -> tuple[SourceFile, ...]:
    """The files of a source, fetched into `folder` if need be."""
    if not connector_of(source).fetches:
        return (find(store, source),)
    (folder / FETCHED).mkdir(parents=True)
    return fetch(store, source, folder / FETCHED, report)


def refuse_several(file: SourceFile, more: list[SourceFile]) -> None:
    """A validation file is one file."""
    if more:
        raise UserError(
            f"The source has {1 + len(more)} files.", where=file.name, fix="Name one file as the validation file."
        )


def remove_uploads(store: Store, job: JobRecord) -> None:
    """Removes the uploaded files that an import was to read, and secrets that were kept for it alone."""
    for source in (job.params["source"], job.params.get("validation")):
        if source is None:
            continue
        if connector_of(source).fetches:
            forget(store, source)
            continue
        try:
            file = find_file(store, source)
        except UserError:
            continue  # it is gone already
        if file.ours:
            remove_upload(store.home, file.path)


def remove_upload(home: Home, path: Path) -> None:
    """Removes an uploaded file and the folder that was made for it."""
    path.unlink(missing_ok=True)
    uploads = home.uploads.resolve()
    if path.parent != uploads and path.parent.is_relative_to(uploads):
        shutil.rmtree(path.parent, ignore_errors=True)


def dataset_statistics(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Counts a data set and saves statistics.json in its folder.

    Params of the job: "dataset_id"; "tokenizer", a folder or tokenizer.json (default: the bundled backbone's), and
    "tokenizer_name", what the user calls it.
    """
    folder = home.dataset(str(job.params["dataset_id"]))
    path = Path(str(job.params.get("tokenizer") or BACKBONE))
    name = str(job.params.get("tokenizer_name") or "starter")
    found = statistics.count(open_dataset(folder), statistics.load_tokenizer(path), name, report)
    statistics.save(found, folder)
    return {"conversations": found.conversations}
