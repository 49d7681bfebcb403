"""Hands files of the studio to the browser, each under an address that nobody can guess and that ends soon.

A symbolic link stands in waved's folder, so nothing is copied or held in memory. The link's own name ends in ".bin":
the browser then saves the file whatever is in it, and never opens it as a page; the real name comes with the
`download` attribute.
"""

import os
import shutil
import time
import uuid
from typing import TYPE_CHECKING

from llm_studio.errors import UserError
from llm_studio.ui.uploads import files_folder

if TYPE_CHECKING:
    from llm_studio.store import Home
    from llm_studio.ui.page import Download

KEPT_SECONDS = 3600.0
_NAME = "download.bin"
_FORBIDDEN = frozenset('/\\:*?"<>|')


def publish(home: "Home", download: "Download") -> dict[str, str]:
    """Make `download` available; returns its url and filename. Older ones end after an hour."""
    if not download.path.is_file():
        raise UserError(f"The file {download.filename} is not there (any more).", fix="Make it again.")
    clear(home, older_than_seconds=KEPT_SECONDS)
    folder = files_folder(home) / str(uuid.uuid4())
    folder.mkdir(parents=True, mode=0o700)
    (folder / _NAME).symlink_to(os.path.realpath(download.path))
    name = "".join("_" if one in _FORBIDDEN or not one.isprintable() else one for one in download.filename)
    return {"url": f"/_f/{folder.name}/{_NAME}", "filename": name}


def clear(home: "Home", older_than_seconds: float = 0.0) -> None:
    """Delete the links made longer ago than this; the files they point to stay."""
    for link in files_folder(home).glob(f"*/{_NAME}"):
        if link.is_symlink() and time.time() - link.lstat().st_mtime >= older_than_seconds:
            shutil.rmtree(link.parent, ignore_errors=True)
