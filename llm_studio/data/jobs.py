"""The work of `data` that runs in processes of its own: reading an import, counting the statistics of a data set."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from llm_studio.data import statistics
from llm_studio.data.connectors import find_file
from llm_studio.data.dataset import open_dataset
from llm_studio.data.reading.progress import Report
from llm_studio.data.staging import add_validation_file, discard, read_into_staging, staging_folder
from llm_studio.errors import Cancelled, UserError
from llm_studio.starter import BACKBONE
from llm_studio.store import Home, JobRecord, Store


def describe(source: Mapping[str, object], name: str) -> str:
    """Where a data set came from, in words."""
    words = {"upload": "uploaded", "local": "from the server", "starter": "sample of the studio"}
    return f"{name}, {words.get(str(source.get('kind')), str(source.get('kind')))}"


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
    file = find_file(store, source)
    if into := job.params.get("into"):
        add_validation_file(staging_folder(home, str(into)), file, report)
        return {"into": into}
    validation = job.params.get("validation")
    validation_file = find_file(store, validation) if validation else None
    try:
        draft = read_into_staging(
            staging_folder(home, job.id), file, validation_file, describe(source, file.name), report
        )
    except BaseException:
        discard(home, job.id)
        raise
    return {"name": draft.name}


def remove_uploads(store: Store, job: JobRecord) -> None:
    """Removes the uploaded files that an import was to read."""
    for source in (job.params["source"], job.params.get("validation")):
        if source is None:
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
