"""The connector for web addresses over real sockets: what it fetches, and what it never reaches."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llm_studio.data.connectors import SourceFile, check, https
from llm_studio.data.connectors.https import Reach, download
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.web import Answer, Site, StopsAfter, quiet, reply

ROWS = b"question,answer\n1,2\n"
Serve = Callable[[Answer], Site]


def get(url: str, folder: Path, *ports: int, limit: int = 10**9, **more: Any) -> SourceFile:
    return download(url, folder, quiet, limit, Reach(frozenset(ports), **more))


def test_fetches_a_file_under_the_name_of_the_header_else_of_the_address(serve: Serve, folder: Path) -> None:
    named = serve(lambda h: reply(h, ROWS, Content_Disposition="attachment; filename*=UTF-8''my%20rows.csv"))
    plain = serve(lambda h: reply(h, ROWS, Content_Type="text/csv; charset=utf-8"))
    first = get(f"http://127.0.0.1:{named.port}/x?y=1", folder, named.port)
    assert (first.name, first.path.read_bytes(), first.path.parent) == ("my rows.csv", ROWS, folder)
    assert get(f"http://127.0.0.1:{plain.port}/a/rows.tsv", folder, plain.port).name == "rows.tsv"
    assert get(f"http://127.0.0.1:{plain.port}/export?id=3", folder, plain.port).name == "export.csv"


def test_a_name_from_the_server_never_leaves_the_folder(serve: Serve, folder: Path) -> None:
    site = serve(lambda h: reply(h, ROWS, Content_Disposition='attachment; filename="../../../etc/x.csv"'))
    found = get(f"http://127.0.0.1:{site.port}/", folder, site.port)
    assert found.path == folder / "x.csv" and list(folder.iterdir()) == [found.path]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::7f00:1",
     "240.0.0.1", "255.255.255.255", "ff02::1"],
)  # fmt: skip
def test_a_private_address_is_not_public(address: str) -> None:
    assert not https.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_a_public_address_is_public(address: str) -> None:
    assert https.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0.0.0.0"])
def test_a_private_address_is_refused_before_anything_is_sent(host: str, serve: Serve, folder: Path) -> None:
    site = serve(lambda h: reply(h, ROWS))
    with pytest.raises(UserError, match=r"private address|not known here") as caught:
        get(f"https://{host}:{site.port}/rows.csv", folder)
    assert caught.value.fix and site.asked == [] and list(folder.iterdir()) == []


def test_a_redirect_to_a_private_address_is_refused(serve: Serve, folder: Path) -> None:
    inner = serve(lambda h: reply(h, ROWS))
    outer = serve(lambda h: reply(h, b"", 302, Location=f"https://127.0.0.1:{inner.port}/rows.csv"))
    with pytest.raises(UserError, match="private address"):
        get(f"http://127.0.0.1:{outer.port}/rows.csv", folder, outer.port)
    assert inner.asked == [] and outer.asked == ["/rows.csv"]


def test_a_redirect_out_of_https_is_refused(serve: Serve, folder: Path) -> None:
    for target in ("http://example.org/rows.csv", "file:///etc/passwd", "ftp://example.org/a.csv"):
        site = serve(lambda h, target=target: reply(h, b"", 302, Location=target))
        with pytest.raises(UserError, match="not https"):
            get(f"http://127.0.0.1:{site.port}/", folder, site.port)


def test_redirects_are_followed_but_not_for_ever(serve: Serve, folder: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        last = handler.path == "/3.csv"
        number = int(handler.path.strip("/x").partition(".")[0] or 0)
        reply(handler, ROWS) if last else reply(handler, b"", 302, Location=f"/{number + 1}.csv")

    site = serve(answer)
    assert get(f"http://127.0.0.1:{site.port}/0.csv", folder, site.port).name == "3.csv"
    ring = serve(lambda h: reply(h, b"", 302, Location="/again"))
    with pytest.raises(UserError, match="more than 5 times"):
        get(f"http://127.0.0.1:{ring.port}/", folder, ring.port)


def test_a_name_is_resolved_once_and_the_connection_goes_to_that_address(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name would lead elsewhere when it is asked for a second time."""
    site = serve(lambda h: reply(h, ROWS))
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host == "rows.example":
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "10.0.0.1", port, *args, **more)
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert get(f"http://rows.example:{site.port}/a.csv", folder, site.port).path.read_bytes() == ROWS
    assert asked == ["rows.example"]


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(UserError, match=r"10\.0\.0\.1"):
        https.first_public(["1.1.1.1", "10.0.0.1"], "a.example", 443, Reach(), "a.example")
    assert https.first_public(["1.1.1.1", "1.0.0.1"], "a.example", 443, Reach(), "a.example") == "1.1.1.1"


@pytest.mark.parametrize(("status", "words"), [(401, "asks for a login"), (403, "refuses"), (404, "no such file")])
def test_an_http_error_is_said_in_words(status: int, words: str, serve: Serve, folder: Path) -> None:
    site = serve(lambda h: reply(h, b"no", status))
    with pytest.raises(UserError, match=words) as caught:
        get(f"http://127.0.0.1:{site.port}/a.csv?signature=secret", folder, site.port)
    assert str(status) in caught.value.what and "secret" not in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(("path", "words"), [("/a.pdf", "a.pdf ends in .pdf"), ("/page", "page has no ending")])
def test_a_file_of_another_format_is_refused_before_it_is_fetched(
    path: str, words: str, serve: Serve, folder: Path
) -> None:
    site = serve(lambda h: reply(h, ROWS, Content_Type="text/html"))
    with pytest.raises(UserError, match=words):
        get(f"http://127.0.0.1:{site.port}{path}", folder, site.port)
    assert list(folder.iterdir()) == []


def test_a_file_above_the_limit_is_refused_by_its_size_and_while_it_comes(serve: Serve, folder: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x" * 2**16)

    for answer in (lambda h: reply(h, ROWS * 100_000), endless):
        site = serve(answer)
        with pytest.raises(UserError, match="larger than"):
            get(f"http://127.0.0.1:{site.port}/a.csv", folder, site.port, limit=1_000_000)
        assert list(folder.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(serve: Serve, folder: Path) -> None:
    site = serve(lambda h: reply(h, ROWS, Content_Length="1000000"))
    with pytest.raises(UserError, match=r"connection to 127\.0\.0\.1 failed"):
        get(f"http://127.0.0.1:{site.port}/a.csv", folder, site.port)
    assert list(folder.iterdir()) == []


def test_a_server_that_does_not_answer_or_is_not_there_is_said(serve: Serve, folder: Path) -> None:
    site = serve(lambda h: time.sleep(1))
    with pytest.raises(UserError, match="did not answer"):
        get(f"http://127.0.0.1:{site.port}/a.csv", folder, site.port, timeout_seconds=0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(UserError, match=r"connection to 127\.0\.0\.1 failed"):
        get(f"http://127.0.0.1:{port}/a.csv", folder, port)
    with pytest.raises(UserError, match="not known here"):
        get("https://no-such-host.invalid/a.csv", folder)


def test_a_cancel_in_the_middle_leaves_nothing(serve: Serve, folder: Path) -> None:
    site = serve(lambda h: reply(h, ROWS * 500_000))
    report = StopsAfter(4)
    with pytest.raises(Cancelled):
        download(f"http://127.0.0.1:{site.port}/a.csv", folder, report, 10**9, Reach(frozenset([site.port])))
    assert 0 < (report.shares[-1] or 0) < 1
    assert site.asked == ["/a.csv"] and list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://example.org/a.csv", "not an https"), ("a.csv", "not an https"), ("", "empty"),
     ("https://me:pw@example.org/a.csv", "password")],
)  # fmt: skip
def test_the_form_is_checked_without_the_network(url: str, words: str, store: Store) -> None:
    with pytest.raises(UserError, match=words) as caught:
        check(store, {"kind": "https", "url": url})
    assert "pw" not in str(caught.value)


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate of our own for a host, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, kind, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def test_the_certificate_must_be_that_of_the_name_although_the_connection_goes_to_an_address(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    site = tmp_path / "site"
    site.mkdir()
    (site / "a.csv").write_bytes(ROWS)
    cert, key = certificate(tmp_path, "rows.example")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(site))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    port = server.server_address[1]
    real = socket.getaddrinfo
    hosts = ("rows.example", "other.example")
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **more: real("127.0.0.1" if host in hosts else host, *args, **more)
    )
    try:
        trust = ssl.create_default_context(cafile=str(cert))
        found = get(f"https://rows.example:{port}/a.csv", folder, port, trust=trust)
        assert found.path.read_bytes() == ROWS
        with pytest.raises(UserError, match=r"connection to other\.example failed"):
            get(f"https://other.example:{port}/a.csv", folder, port, trust=trust)
        with pytest.raises(UserError, match=r"connection to rows\.example failed"):
            get(f"https://rows.example:{port}/a.csv", folder, port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
