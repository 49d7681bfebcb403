"""A web server on a free port, and reports, for the tests of what comes over the network."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from llm_studio.errors import Cancelled

Answer = Callable[[BaseHTTPRequestHandler], None]


def quiet(share: float | None, words: str) -> None:
    """A report that nobody reads."""


class StopsAfter:
    """A report of a user who cancels after so many calls; keeps the shares it was told."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.shares: list[float | None] = []

    def __call__(self, share: float | None, words: str) -> None:
        self.left -= 1
        self.shares.append(share)
        if self.left < 0:
            raise Cancelled


@dataclass
class Site:
    """A web server: its port, the paths that were asked, and the Authorization that came with each."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)


@contextmanager
def running_site(answer: Answer) -> Iterator[Site]:
    """A web server that ends with the block; `answer(handler)` writes a whole answer."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Keep quiet."""

        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.credentials.append(self.headers.get("Authorization", ""))
            with suppress(ConnectionError):  # the client left
                answer(self)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.port = server.server_address[1]
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """A whole answer; names of headers are given with _ for -."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if "Content_Length" not in headers:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def end(process: "subprocess.Popen[str]") -> None:
    """Ends a server of a test."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
