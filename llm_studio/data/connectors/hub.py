"""Connector "hub": the data files of a data set on the Hugging Face Hub; no code of it is ever run."""

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_studio.data.connectors import Source, SourceFile, text_of
from llm_studio.data.connectors.hub_layout import choose, converted_layout, layout_of
from llm_studio.data.connectors.transfer import CHUNK_BYTES, Meter, file_name, refuse_full_disk, save
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Store

WAIT_SECONDS = 10.0
CONVERTED = "refs/convert/parquet"
TOKEN_FIX = "Give a Hugging Face token in the form, under Settings or as HF_TOKEN"


def check(store: Store, source: Source) -> None:
    """Whether the name looks like one of a data set."""
    name = text_of(source, "repository")
    if not re.fullmatch(r"[\w.-]{1,96}(/[\w.-]{1,96})?", name, re.ASCII):
        raise UserError(
            f"{name!r} is not the name of a data set.",
            where="Hugging Face Hub, Data set",
            fix="Write it as owner/name, as on the Hub.",
        )


def address(source: Source) -> str:
    """hub:owner/name[@revision][/config][:split]."""
    parts = [f"hub:{text_of(source, 'repository')}"]
    for name, sign in (("revision", "@"), ("config", "/"), ("split", ":")):
        parts += [f"{sign}{text_of(source, name)}"] if text_of(source, name) else []
    return "".join(parts)


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Downloads the files of one split, in the order of their names.

    Raises:
        UserError: no such data set, revision, config or split; gated; no data files; the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    name, revision = text_of(source, "repository"), text_of(source, "revision")
    token = store.secrets.get("huggingface_token")
    where = f"data set {name}"
    report(None, f"Asking the Hub for {name}")
    with said_plainly(name, revision, token):
        api = HfApi(token=token or False)
        info = api.dataset_info(name, revision=revision or None, timeout=WAIT_SECONDS, files_metadata=True)
        sizes = sizes_of(info)
        options: dict[str, Any] = {
            "repo_type": "dataset", "token": token or False, "local_dir": folder / "hub", "etag_timeout": WAIT_SECONDS,
        }  # fmt: skip
        layout = layout_of(list(sizes), readme_of(name, info.sha, sizes, options))
        if not layout.configs and not revision:
            info, sizes = converted(api, name, info, sizes)
            layout = converted_layout(list(sizes))
        if not layout.configs:
            raise UserError(
                f"{name} holds no file of CSV, JSON, JSON Lines or Parquet; a script that loads it is not run.",
                where=where,
                fix="Choose a data set with data files, or save the rows as Parquet or JSON Lines and upload them.",
            )
        config, split, files = choose(layout, text_of(source, "config"), text_of(source, "split"), where)
        total = sum(sizes[file] for file in files)
        refuse_full_disk(folder, total)
        paths = download(name, files, info.sha, total, options, report)
    title = name.rsplit("/", 1)[-1] + ("" if config == "default" else f" {config}")
    title += "" if split == "train" else f" {split}"
    return tuple(
        SourceFile(path, file_name(path.name), ours=True, title=title)
        for path in (unpacked(path, folder, report) for path in paths)
    )


def sizes_of(info: Any) -> dict[str, int]:
    """Bytes by file."""
    return {file.rfilename: int(file.size or 0) for file in info.siblings or []}


def readme_of(name: str, revision: str, sizes: dict[str, int], options: dict[str, Any]) -> str:
    """The README, empty when there is none."""
    from huggingface_hub import hf_hub_download

    if not 0 < sizes.get("README.md", 0) < 2**22:
        return ""
    path = hf_hub_download(name, "README.md", revision=revision, **options)
    return Path(path).read_text(encoding="utf-8", errors="replace")


def converted(api: Any, name: str, info: Any, sizes: dict[str, int]) -> tuple[Any, dict[str, int]]:
    """The Parquet copy that the Hub itself makes of many data sets; else what was there."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        copy = api.dataset_info(name, revision=CONVERTED, timeout=WAIT_SECONDS, files_metadata=True)
    except RevisionNotFoundError:
        return info, sizes
    return copy, sizes_of(copy)


def download(
    name: str, files: tuple[str, ...], revision: str, total_bytes: int, options: dict[str, Any], report: Report
) -> list[Path]:
    """The files one after the other; each keeps its place under the folder."""
    from huggingface_hub import hf_hub_download
    from tqdm.auto import tqdm

    meter = Meter(total_bytes, report)

    class Told(tqdm):  # type: ignore[misc]
        """Reports bytes instead of drawing a bar; the report raises Cancelled when the user wants to stop."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            more.pop("name", None)
            super().__init__(*arguments, **more | {"file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            if self.unit == "B":
                meter.add(int(n or 0))
            drawn: bool | None = super().update(n)
            return drawn

    paths = []
    for index, file in enumerate(files, start=1):
        share = meter.done_bytes / total_bytes if total_bytes else None
        report(min(share, 1.0) if share else share, f"Downloading file {index} of {len(files)}")
        paths.append(Path(hf_hub_download(name, file, revision=revision, tqdm_class=Told, **options)))
    return paths


def unpacked(path: Path, folder: Path, report: Report) -> Path:
    """The file itself, or what a gzip file holds."""
    if path.suffix != ".gz":
        return path
    target = folder / path.stem
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{number}-{path.stem}"
    try:
        with gzip.open(path) as packed:
            save(iter(lambda: packed.read(CHUNK_BYTES), b""), target, total_bytes=None, report=report)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{path.name} is a damaged gzip file: {error}.", where=path.name, fix="Tell the owner of the data set."
        ) from error
    path.unlink()
    return target


@contextmanager
def said_plainly(name: str, revision: str, token: str | None) -> Iterator[None]:
    """Turns the errors of the Hub's client into ours."""
    from huggingface_hub import constants, errors

    where, site = f"data set {name}", str(constants.ENDPOINT)
    try:
        yield
    except errors.HFValidationError as error:
        fix = "Write it as owner/name, as on the Hub."
        raise UserError(f"{name!r} is not the name of a data set.", where=where, fix=fix) from error
    except errors.GatedRepoError as error:
        more = "with the account of your token." if token else f"with your account. {TOKEN_FIX}."
        raise UserError(
            f"{name} is gated: its owner gives it only to accounts that accepted its terms.",
            where=where,
            fix=f"Accept its terms on {site}/datasets/{name} {more}",
        ) from error
    except errors.RevisionNotFoundError as error:
        fix = "Write the name of a branch, a tag or a commit, or leave it empty."
        raise UserError(f"{name} has no revision {revision!r}.", where=where, fix=fix) from error
    except errors.RepositoryNotFoundError as error:
        fix = "Check the name for typing errors." + ("" if token else f" If it is private: {TOKEN_FIX}.")
        may = " that this token may read" if token else ""
        raise UserError(f"The Hub has no data set {name}{may}.", where=where, fix=fix) from error
    except errors.OfflineModeIsEnabled as error:
        what = f"HF_HUB_OFFLINE forbids asking the Hub for {name}."
        raise UserError(what, where=where, fix="Unset HF_HUB_OFFLINE, or upload the files.") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code in (401, 403):
            what = f"The Hub refused {'the token' if token else 'to answer'} while asking for {name} (HTTP {code})."
            raise UserError(what, where=where, fix=f"{TOKEN_FIX} that is valid and may read it.") from error
        what = f"The Hub answered with an error (HTTP {code}) when asked for {name}."
        raise UserError(what, where=where, fix="Try again in a moment.") from error
    except (errors.LocalEntryNotFoundError, errors.HTTPError) as error:
        raise unreachable(name, site) from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError):
            raise  # the disk, not the network
        raise unreachable(name, site) from error


def unreachable(name: str, site: str) -> UserError:
    """The network is down, or the Hub is."""
    offline = " HF_HUB_OFFLINE is set." if os.environ.get("HF_HUB_OFFLINE") else ""
    return UserError(
        f"The Hub ({site}) cannot be reached from here.{offline}",
        where=f"data set {name}",
        fix="Check the network of the server and try again, or upload the files.",
    )
