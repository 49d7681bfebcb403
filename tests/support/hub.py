"""A small Hugging Face Hub on a loopback port, so that the real client is tested over a real socket.

Speaks model info, the tree, and resolve with the headers of plain and LFS files; answers 401 and 404 with the codes
that the real one sends. Point a client at it by `endpoint=hub.address`, or a child process by HF_ENDPOINT.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"
CONVERTED, CONVERTED_SHA = "refs/convert/parquet", "c" * 40
LFS_SUFFIXES = (".safetensors", ".bin", ".model")
TOKEN = "hf_test_token_that_may_read_everything"


@dataclass
class Repository:
    """A model or data set on the hub; `gated` asks for TOKEN, `parameters` is what the Hub says of its safetensors.

    A data set stands in `repositories` under "datasets/owner/name"; `converted` are the files of its Parquet copy.
    `branches` have files and a sha of their own.
    """

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    parameters: int | None = None
    converted: dict[str, bytes] = field(default_factory=dict)
    sha: str = SHA
    branches: dict[str, "Repository"] = field(default_factory=dict)


@dataclass
class Hub:
    """What there is by name, the address, and what was asked ("HEAD /owner/name/resolve/main/config.json")."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    address: str = ""
    asked: list[str] = field(default_factory=list)

    def add_folder(self, name: str, folder: Path, *, gated: bool = False, branch: str = "") -> None:
        """Offer the files of a folder as a model, or as a branch of one that is there."""
        files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        if branch:
            self.repositories[name].branches[branch] = Repository(files, sha="b" * 40)
        else:
            self.repositories[name] = Repository(files, gated=gated)


@contextmanager
def running_hub(**repositories: Repository) -> Iterator[Hub]:
    """A hub that ends with the block; names are given as owner__name."""
    hub = Hub({name.replace("__", "/"): repository for name, repository in repositories.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(hub))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Keep quiet."""

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            status, headers, body = self._found(path)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if status == 200 and wanted:
                start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
                headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
                status, body = 206, body[start : end + 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                with suppress(ConnectionError):  # the client left
                    self.wfile.write(body)

        def _found(self, path: str) -> tuple[int, dict[str, str], bytes]:
            kind = "datasets/" if path.startswith(("/api/datasets/", "/datasets/")) else ""
            path = path.replace("/datasets/", "/models/" if path.startswith("/api") else "/", 1) if kind else path
            path = path.replace(CONVERTED, CONVERTED_SHA)
            info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path)
            tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            match = info or tree or file
            if match is None:
                return _error(404, "", "Not found")
            repository = hub.repositories.get(kind + match[1])
            if (refusal := self._refusal(repository, match[1], reads_files=info is None)) is not None:
                return refusal
            assert repository is not None
            if match[2] == CONVERTED_SHA and repository.converted:
                repository = replace(repository, files=repository.converted, sha=CONVERTED_SHA)
            elif found := [one for name, one in repository.branches.items() if match[2] in (name, one.sha)]:
                repository = found[0]
            elif match[2] not in (None, "main", SHA):
                return _error(404, "RevisionNotFound", f"Invalid rev id: {match[2]}")
            if info:
                return _json(_info(match[1], repository))
            if tree:
                return _json(_tree(repository)) if not tree[3] else _error(404, "EntryNotFound", "Entry not found")
            if match[3] not in repository.files:
                return _error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repository.sha})
            return 200, _file_headers(match[3], repository), repository.files[match[3]]

        def _refusal(
            self, repository: Repository | None, name: str, *, reads_files: bool
        ) -> tuple[int, dict[str, str], bytes] | None:
            given = self.headers.get("Authorization", "")
            if given and given != f"Bearer {TOKEN}":
                return _error(401, "", "Invalid credentials in Authorization header")
            if repository is None or (repository.private and not given):
                return _error(404 if given else 401, "RepoNotFound", "Repository not found")
            if repository.gated and reads_files and not given:
                words = f"Access to model {name} is restricted. You must be authenticated to access it."
                return _error(401, "GatedRepo", words)
            return None

    return Handler


def _error(status: int, code: str, words: str, more: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    headers = {"X-Error-Message": words, "Content-Type": "application/json", **(more or {})}
    if code:
        headers["X-Error-Code"] = code
    return status, headers, json.dumps({"error": words}).encode()


def _json(value: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _is_lfs(name: str) -> bool:
    return name.endswith(LFS_SUFFIXES)


def _file_headers(name: str, repository: Repository) -> dict[str, str]:
    content = repository.files[name]
    etag = hashlib.sha256(content).hexdigest() if _is_lfs(name) else hashlib.sha1(content).hexdigest()
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.sha, "Accept-Ranges": "bytes"}
    if _is_lfs(name):
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
    return headers


def _entries(repository: Repository) -> list[tuple[str, int, str]]:
    return [(name, len(content), hashlib.sha1(content).hexdigest()) for name, content in repository.files.items()]


def _info(name: str, repository: Repository) -> dict[str, object]:
    found: dict[str, object] = {
        "_id": repository.sha[:24],
        "id": name,
        "modelId": name,
        "sha": repository.sha,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": file, "size": size, "blobId": oid} for file, size, oid in _entries(repository)],
    }
    if repository.parameters is not None:
        found["safetensors"] = {"parameters": {"F32": repository.parameters}, "total": repository.parameters}
    return found


def _tree(repository: Repository) -> list[dict[str, object]]:
    return [
        {
            "type": "file", "path": file, "size": size, "oid": oid,
            **({"lfs": {"oid": hashlib.sha256(repository.files[file]).hexdigest(), "size": size, "pointerSize": 134}}
               if _is_lfs(file) else {}),
        }
        for file, size, oid in _entries(repository)
    ]  # fmt: skip
