"""Takes a file that the browser uploaded out of Wave's folder and into the studio's, under a name of our own."""

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from llm_studio.errors import UserError

if TYPE_CHECKING:
    from llm_studio.store import Home

_URL = re.compile(r"/_f/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/([^/\x00]{1,255})")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


@dataclass(frozen=True)
class Upload:
    """An uploaded file: where it lies now, the name the user knows it by (for showing only), its size."""

    path: Path
    name: str
    size_bytes: int


def take_upload(home: "Home", url: str) -> Upload:
    """Move what Wave stored at `url` to `home.uploads` and delete Wave's folder of it.

    Raises UserError when there is no such upload (any more).
    """
    match = _URL.fullmatch(url)
    gone = UserError("This uploaded file is not there any more.", fix="Choose the file again.")
    if not match:
        raise gone
    folder = files_folder(home) / match.group(1)
    # waved stores the name as it stood in the form and puts the same text into the address; some clients encode it.
    names = (match.group(2), unquote(match.group(2)))
    source = next((folder / name for name in names if _is_inside(folder, name)), None)
    if source is None:
        raise gone
    name = "".join(character for character in unquote(match.group(2)) if character.isprintable()) or "file"
    suffix = Path(name).suffix if _SUFFIX.fullmatch(Path(name).suffix) else ""
    home.uploads.mkdir(parents=True, exist_ok=True)
    target = home.uploads / (secrets.token_hex(8) + suffix.lower())
    shutil.move(source, target)
    shutil.rmtree(folder, ignore_errors=True)
    return Upload(path=target, name=name, size_bytes=target.stat().st_size)


def files_folder(home: "Home") -> Path:
    """Where waved keeps uploads and serves `/_f/` from."""
    folder: Path = home.wave / "f"
    return folder


def _is_inside(folder: Path, name: str) -> bool:
    path = folder / name
    return "/" not in name and name not in (".", "..") and path.is_file() and not path.is_symlink()
