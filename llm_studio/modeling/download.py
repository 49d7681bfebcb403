"""Fetches a backbone from the Hub before it is loaded, and tells how far the download is."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.backbones import cached_snapshot, is_path

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken")
TOKEN_VARIABLE = "HF_TOKEN"


def use_token(token: str | None) -> None:
    """Let every library of this process use the token for the Hub; processes that it starts see it too."""
    if token:
        os.environ.setdefault(TOKEN_VARIABLE, token)


def is_here(name: str, revision: str) -> bool:
    """Whether the backbone can be loaded without the network."""
    return name == "starter" or is_path(name) or cached_snapshot(name, revision) is not None


def fetch(
    name: str,
    *,
    revision: str,
    total_bytes: int,
    report: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
    endpoint: str | None = None,
) -> Path:
    """The folder of the backbone in the Hub's cache, once its weights and small files are there.

    total_bytes: what is expected, 0 when not known. Parts of an earlier try are used.

    Raises:
        Cancelled: `should_stop` said so. UserError: the Hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError
    from tqdm.auto import tqdm

    size = f" of {in_words(total_bytes)}" if total_bytes else ""

    class Told(tqdm):  # type: ignore[misc]
        """Reports bytes instead of drawing a bar."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **options | {"file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            if should_stop():
                raise Cancelled
            drawn: bool | None = super().update(n)
            if self.unit == "B":
                report(f"Downloading the backbone: {in_words(int(self.n))}{size}")
            return drawn

    report(f"Downloading the backbone: 0{size}")
    try:
        files = HfApi(endpoint=endpoint).list_repo_files(name, revision=revision)
        weights = "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"
        folder = snapshot_download(
            name,
            revision=revision,
            endpoint=endpoint,
            allow_patterns=[weights, *SMALL_FILES],
            ignore_patterns=["*/*"],
            tqdm_class=Told,
        )
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise UserError(
            f"The download of {name} broke off: {str(error).splitlines()[0][:200]}",
            where=f"backbone {name}",
            fix="Check the network and the free disk space, then press Continue: what has arrived is kept.",
        ) from error
    return Path(folder)


def in_words(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
