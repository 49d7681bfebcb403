"""What waved serves and how: its own web files with our page, script and style, strict headers, random keys."""

import hashlib
import importlib.metadata
import os
import re
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from llm_studio.errors import UserError

if TYPE_CHECKING:
    from llm_studio.store import Home

STATIC = Path(__file__).parent.parent / "ui" / "static"
# No style-src-elem or script-src-elem: waved inserts its nonce by replacing the words script-src and style-src.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "\r\n"
)


def find_waved() -> tuple[Path, Path]:
    """waved and its web folder, which the h2o-wave wheel puts beside the Python that runs here."""
    name = "waved.exe" if sys.platform == "win32" else "waved"
    places = [Path(sys.prefix)]
    for file in importlib.metadata.files("h2o-wave") or ():
        if file.name == name:
            places.append(Path(str(file.locate())).resolve().parent)
    for place in places:
        if (place / name).is_file() and (place / "www" / "index.html").is_file():
            return place / name, place / "www"
    raise UserError(
        "The Wave server is missing from this Python environment.",
        where=str(Path(sys.prefix) / name),
        fix="Install h2o-wave from a wheel for this platform: pip install --force-reinstall h2o-wave",
    )


def make_web_folder(target: Path, wave_www: Path) -> Path:
    """Links to Wave's files, with an index page and a folder `studio/` of our own. Made anew at every start."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "studio").mkdir(parents=True)
    for entry in wave_www.iterdir():
        if entry.name not in ("index.html", "favicon.ico"):
            (target / entry.name).symlink_to(entry)
    for entry in STATIC.iterdir():
        if entry.name != "index.html":
            (target / "studio" / entry.name).symlink_to(entry)
    (target / "studio" / "plotly.min.js").symlink_to(_plotly_script())
    (target / "index.html").write_text(index_page((wave_www / "index.html").read_text()))
    return target


def index_page(of_wave: str) -> str:
    """Our index page with the script and style links of this Wave release, whose file names change."""
    head = "\n  ".join(
        re.findall(r'<(?:script type="module"|link rel="(?:stylesheet|modulepreload)")[^>]*>(?:</script>)?', of_wave)
    )
    body = "\n".join(re.findall(r"<script>.*?</script>", of_wave, flags=re.DOTALL))
    if "wave-static" not in head or "nonce" not in body:
        raise UserError(
            "The index page of this h2o-wave release has an unknown form.",
            fix="Install the version in requirements.lock.",
        )
    page = (STATIC / "index.html").read_text()
    return page.replace("{wave_head}", head).replace("{wave_body}", body).replace("{version}", _version())


def _version() -> str:
    """Changes when a file of ours or plotly changes, so that a browser never uses an older copy."""
    digest = hashlib.sha256(importlib.metadata.version("plotly").encode())
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _plotly_script() -> Path:
    """The script inside plotly's wheel; found without importing plotly, which takes long."""
    spec = find_spec("plotly")
    folders = spec.submodule_search_locations if spec else None
    script = Path(folders[0]) / "package_data" / "plotly.min.js" if folders else None
    if script is None or not script.is_file():
        raise UserError("plotly's script is missing.", fix="Install plotly from requirements.lock.")
    return script


def environment(
    home: "Home", *, listen: str, port: int, app_port: int, origins: Sequence[str], inherited: Mapping[str, str]
) -> dict[str, str]:
    """For waved and the app: loopback, random keys, no log, no store. Wave's own variables are never inherited."""
    result = {name: value for name, value in inherited.items() if not name.startswith(("H2O_WAVE_", "__H2O_WAVE_"))}
    loopback = ",".join(part for part in (result.get("NO_PROXY", ""), "127.0.0.1,localhost") if part)
    result |= {
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "PYTHONUNBUFFERED": "1",
        "LLM_STUDIO_HOME": str(home.database.parent),
        "H2O_WAVE_LISTEN": f"{listen}:{port}",
        "H2O_WAVE_ADDRESS": f"http://127.0.0.1:{port}",
        "H2O_WAVE_APP_ADDRESS": f"http://127.0.0.1:{app_port}",
        "H2O_WAVE_CONNECTION_TIMEOUT": "30",
        "H2O_WAVE_ACCESS_KEY_ID": secrets.token_hex(8),
        "H2O_WAVE_ACCESS_KEY_SECRET": secrets.token_hex(24),
        "H2O_WAVE_APP_ACCESS_KEY_ID": secrets.token_hex(8),
        "H2O_WAVE_APP_ACCESS_KEY_SECRET": secrets.token_hex(24),
        "H2O_WAVE_DATA_DIR": str(home.wave),
        # one failed request must not make waved forget the app for good; a dead app is started again by the launcher
        "H2O_WAVE_KEEP_APP_LIVE": "true",
        "H2O_WAVE_NO_LOG": "true",
        "H2O_WAVE_NO_STORE": "true",
        "H2O_WAVE_MAX_REQUEST_SIZE": "50M",
        "H2O_WAVE_ALLOWED_ORIGINS": ",".join(origins),
        "H2O_WAVE_HTTP_HEADERS_FILE": str(home.run / "headers.txt"),
        "H2O_WAVE_RECONNECT_TIMEOUT": "60s",
        "H2O_WAVE_APP_READ_TIMEOUT": "20",
        "H2O_WAVE_APP_WRITE_TIMEOUT": "20",
    }
    return result


def allowed_origins(port: int, declared: str) -> list[str]:
    """The addresses from which a page may connect; `declared` adds those of a proxy, separated by commas."""
    own = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    return own + [origin.strip().rstrip("/") for origin in declared.split(",") if origin.strip()]


def write_headers(home: "Home") -> None:
    """The header file that waved adds to the index page."""
    home.run.mkdir(parents=True, exist_ok=True)
    (home.run / "headers.txt").write_bytes(HEADERS.encode())


def clear_uploads(home: "Home") -> None:
    """Uploads that nobody took before the studio stopped."""
    folder = home.wave / "f"
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
