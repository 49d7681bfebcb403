"""Connector "kaggle": one file of a data set on Kaggle, by the library that Kaggle's own command line is made of."""

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_studio.data.connectors import Source, SourceFile, text_of
from llm_studio.data.connectors.transfer import CHUNK_BYTES, file_name, save
from llm_studio.data.reading import EXTENSIONS
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Store
from llm_studio.store.secrets import from_environment

PAGES = 50
ZIP = b"PK\x03\x04"


def check(store: Store, source: Source) -> None:
    """Whether the name is owner/name, and user name and key come together."""
    name = text_of(source, "dataset")
    if not re.fullmatch(r"[\w-]{1,100}/[\w-]{1,100}", name, re.ASCII):
        raise UserError(
            f"{name!r} is not the name of a data set.",
            where="Kaggle, Data set",
            fix="Write it as owner/name: the end of its page's address.",
        )
    user, key = credentials(store, source)
    if not user or not key:
        lacking = "user name" if key else "API key" if user else "user name and API key"
        raise UserError(
            f"The {lacking} is missing.",
            where="Kaggle",
            fix="Give both; a key is made in your Kaggle account's settings, under API.",
        )


def credentials(store: Store, source: Source) -> tuple[str, str]:
    """User name and key, of the form or of the environment."""
    user = text_of(source, "username") or from_environment("kaggle_username") or ""
    return user, store.secrets.get("kaggle_key") or ""


def address(source: Source) -> str:
    """kaggle:owner/name, with /file when one was named."""
    file = text_of(source, "file")
    return f"kaggle:{text_of(source, 'dataset')}" + (f"/{file}" if file else "")


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Downloads the file, unpacked where Kaggle packs it.

    Raises:
        UserError: wrong user or key, no such data set or file, several files to choose from, no network.
    """
    import kagglesdk
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    owner, slug = text_of(source, "dataset").split("/")
    user, key = credentials(store, source)
    report(None, f"Asking Kaggle for {owner}/{slug}")
    with said_plainly(source), kagglesdk.KaggleClient(username=user, password=key) as client:
        api = client.datasets.dataset_api_client
        chosen = choose(files_of(api, owner, slug), text_of(source, "file"), address(source))
        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug, request.file_name = owner, slug, chosen
        name = file_name(chosen)
        with api.download_dataset(request) as response:
            size = response.headers.get("Content-Length", "")
            total = int(size) if size.isdigit() and "Content-Encoding" not in response.headers else None
            save(response.iter_content(CHUNK_BYTES), folder / name, total_bytes=total, report=report)
    return (SourceFile(unpacked(folder / name, report), name, ours=True, title=slug if not source.get("file") else ""),)


def files_of(api: Any, owner: str, slug: str) -> list[str]:
    """The names of all files of a data set."""
    from kagglesdk.datasets.types.dataset_api_service import ApiListDatasetFilesRequest

    found: list[str] = []
    request = ApiListDatasetFilesRequest()
    request.owner_slug, request.dataset_slug, request.page_size = owner, slug, 200
    for _ in range(PAGES):
        answer = api.list_dataset_files(request)
        found += [file.name for file in answer.files or []]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    return found


def choose(files: list[str], wanted: str, where: str) -> str:
    """The file asked for, else the only one that can be read."""
    readable = [file for file in files if Path(file).suffix.lower() in EXTENSIONS]
    listed = ", ".join(readable[:20]) or "none that can be read"
    if wanted:
        if wanted not in files:
            raise UserError(f"The data set has no file {wanted!r}.", where=where, fix=f"Its files: {listed}.")
        return wanted
    if len(readable) == 1:
        return readable[0]
    if not readable:
        what = "The data set holds no file of CSV, TSV, JSON, JSON Lines or Parquet."
        raise UserError(what, where=where, fix="Choose another data set.")
    raise UserError(f"There are {len(readable)} files to choose from.", where=where, fix=f"Take one of: {listed}.")


def unpacked(path: Path, report: Report) -> Path:
    """The file itself: Kaggle sends larger ones as a zip archive under their own name."""
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return path
    target = path.with_name(f"unpacked-{path.name}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if len(members) != 1:
                what = f"{path.name} came as an archive of {len(members)} files."
                raise UserError(what, where=path.name, fix="Download it, unpack it and upload the file that you want.")
            with archive.open(members[0]) as body:
                chunks = iter(lambda: body.read(CHUNK_BYTES), b"")
                save(chunks, target, total_bytes=members[0].file_size, report=report)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        what = f"{path.name} came as a zip archive that cannot be unpacked: {error}."
        raise UserError(what, where=path.name, fix="Download it by hand, unpack it and upload it.") from error
    shutil.move(target, path)
    return path


@contextmanager
def said_plainly(source: Source) -> Iterator[None]:
    """Turns the errors of Kaggle's library into ours."""
    import requests

    where, name = address(source), text_of(source, "dataset")
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            fix = "Check both for typing errors, or make a new key in your Kaggle account's settings."
            raise UserError("Kaggle refuses the user name or key.", where=where, fix=fix) from error
        if status in (403, 404):
            what = f"Kaggle has no data set {name} that this account may read."
            fix = "Check the name for typing errors; some data sets ask to accept their rules on their page first."
            raise UserError(what, where=where, fix=fix) from error
        what = f"Kaggle answered with an error (HTTP {status})."
        raise UserError(what, where=where, fix="Try again in a moment.") from error
    except requests.RequestException as error:
        fix = "Check the network of the server, then try again."
        raise UserError("Kaggle cannot be reached from here.", where=where, fix=fix) from error
