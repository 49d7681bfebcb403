"""The work of `data` that runs in processes of its own: reading an import, counting the statistics of a data set."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from llm_studio.data import statistics
from llm_studio.data.connectors import find_file
from llm_studio.data.dataset import open_dataset
from llm_studio.data.reading.progress import Report
from llm_studio.data.staging import add_validation_file, discard, read_into_staging, staging_folder
from llm_studio.starter import BACKBONE
from llm_studio.store import Home, JobRecord, Store


def describe(source: Mapping[str, object], name: str) -> str:
    """Where a data set came from, in words."""
    words = {"upload": "uploaded", "local": "from the server", "starter": "sample of the studio"}
    return f"{name}, {words.get(str(source.get('kind')), str(source.get('kind')))}"


def import_read(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Reads the source of an import into its staging folder.

    Params of the job: "source", and "validation" for a validation file of the user's own (both dicts of a connector).
    With "into", the id of another import, the source is the validation file of that import. Uploads are removed once
    they are read.
    """
    source = dict(job.params["source"])
    validation = job.params.get("validation")
    file = find_file(store, source)
    if into := job.params.get("into"):
        add_validation_file(staging_folder(home, str(into)), file, report)
        if file.ours:
            remove_upload(home, file.path)
        return {"into": into}
    validation_file = find_file(store, validation) if validation else None
    folder = staging_folder(home, job.id)
    try:
        draft = read_into_staging(folder, file, validation_file, describe(source, file.name), report)
    except BaseException:
        discard(home, job.id)
        raise
    for one in (file, validation_file):
        if one is not None and one.ours:
            remove_upload(home, one.path)
    return {"name": draft.name}


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
