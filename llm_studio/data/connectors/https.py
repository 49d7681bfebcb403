"""Connector "https": one file from a public web address, never from a private network.

Every hop's host name is resolved once, all its addresses must be public, and the connection goes to one of these very
addresses, so that a name that changes its address between check and use (DNS rebinding) gains nothing.
"""

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from llm_studio.data.connectors import Source, SourceFile, text_of
from llm_studio.data.connectors.transfer import CHUNK_BYTES, file_name, save
from llm_studio.data.reading import EXTENSIONS
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Store

HOPS = 5
DEFAULT_LIMIT_GB = 20.0
QUERY = "query_secret"
TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}


@dataclass(frozen=True)
class Reach:
    """What may be reached. The studio uses the default; tests add ports of this machine, spoken to without TLS."""

    loopback_ports: frozenset[int] = frozenset()
    timeout_seconds: float = 30.0
    trust: ssl.SSLContext | None = None


def check(store: Store, source: Source) -> None:
    """Whether the address is one of https without a password in it, and the limit is a number."""
    parts = urlsplit(text_of(source, "url"))
    if parts.scheme != "https" or not parts.hostname:
        raise UserError(
            f"{address(source)} is not an https address.", where="Web address", fix="Write it as https://host/path."
        )
    if parts.username or parts.password:
        raise UserError(
            "The address holds a user name or password.",
            where="Web address",
            fix="Use an address that works without them, or download the file and upload it here.",
        )
    limit_of(source)


def limit_of(source: Source) -> int:
    """The most bytes that are fetched."""
    typed = text_of(source, "limit_gb")
    try:
        limit = float(typed or DEFAULT_LIMIT_GB)
    except ValueError:
        limit = 0.0
    if not 0 < limit <= 10_000:
        raise UserError(
            f"{typed!r} is not a size in GB, more than 0 and at most 10,000.",
            where="Web address, At most",
            fix="Write a number such as 20.",
        )
    return int(limit * 1e9)


def address(source: Source) -> str:
    """The address without what may be secret in it: user, password, query."""
    parts = urlsplit(text_of(source, "url"))
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Downloads the file."""
    url = text_of(source, "url")
    if query := store.secrets.get(text_of(source, QUERY)) if source.get(QUERY) else None:
        url = f"{url}?{query}"
    return (download(url, folder, report, limit_of(source)),)


def download(url: str, folder: Path, report: Report, limit_bytes: int, reach: Reach | None = None) -> SourceFile:
    """Follows at most HOPS redirects to a file and saves it.

    Raises:
        UserError: a private address, no connection, an HTTP error, too large. Cancelled: from `report`.
    """
    reach = reach or Reach()
    for _ in range(HOPS + 1):
        report(None, f"Asking {urlsplit(url).hostname}")
        with opened(url, reach) as response:
            if response.has_redirect_location:
                url = urljoin(url, response.headers["location"])
                continue
            refuse_status(response, url)
            name = name_of(response, url)
            size = response.headers.get("content-length", "")
            encoded = response.headers.get("content-encoding", "identity") != "identity"
            total = int(size) if size.isdigit() and not encoded else None
            chunks = response.iter_bytes(CHUNK_BYTES)
            save(chunks, folder / name, total_bytes=total, report=report, limit_bytes=limit_bytes)
            return SourceFile(folder / name, name, ours=True)
    raise UserError(
        f"The address leads on more than {HOPS} times.", where=shown(url), fix="Use the address that it ends at."
    )


@contextmanager
def opened(url: str, reach: Reach) -> Iterator[httpx.Response]:
    """The answer of one hop, its body not yet read."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = checked_port(url, reach)
    found = public_addresses(host, port, reach, shown(url))
    netloc = f"[{found}]:{port}" if ":" in found else f"{found}:{port}"
    target = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    trust = reach.trust or True
    try:
        with (
            httpx.Client(trust_env=False, timeout=reach.timeout_seconds, verify=trust) as client,
            client.stream(
                "GET",
                target,
                headers={"Host": parts.netloc.rsplit("@", 1)[-1], "Accept-Encoding": "identity"},
                extensions={"sni_hostname": host},  # the certificate must be that of the name
            ) as response,
        ):
            yield response
    except httpx.TimeoutException as error:
        what = f"{host} did not answer within {reach.timeout_seconds:,.0f} seconds."
        raise UserError(what, where=shown(url), fix="Try again in a moment.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"The connection to {host} failed: {str(error) or type(error).__name__}.",
            where=shown(url),
            fix="Check the address and the network of the server, then try again.",
        ) from error


def checked_port(url: str, reach: Reach) -> int:
    """The port of a hop; only https goes out."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    plain = parts.scheme == "http" and port in reach.loopback_ports
    if not parts.hostname or not port or not (parts.scheme == "https" or plain):
        raise UserError(
            f"The address leads to {shown(url)}, which is not https.", where=shown(url), fix="Use an https address."
        )
    return port


def public_addresses(host: str, port: int, reach: Reach, where: str) -> str:
    """The address to connect to: the first of the host's, all of which must be public.

    Raises:
        UserError: the name is not known, or one of its addresses is private, loopback, link-local or reserved.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"The host {host} is not known here.",
            where=where,
            fix="Check the address for typing errors, and the network of the server.",
        ) from error
    return first_public(found, host, port, reach, where)


def first_public(found: Sequence[str], host: str, port: int, reach: Reach, where: str) -> str:
    """The first address, once all are found to be public."""
    for text in found:
        one = ipaddress.ip_address(text.partition("%")[0])
        allowed = one.is_loopback and port in reach.loopback_ports
        if not (allowed or is_public(one)):
            raise UserError(
                f"{host} is at a private address ({one}); only public addresses are fetched.",
                where=where,
                fix="Copy the file into an allowed folder of the server, or upload it.",
            )
    return found[0]


def is_public(one: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of the public internet; an IPv4 address inside an IPv6 one counts as itself."""
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)
        if inner is None and (one in ipaddress.ip_network("64:ff9b::/96") or int(one) >> 32 == 0):
            inner = ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return one.is_global and not one.is_multicast and not one.is_reserved


def refuse_status(response: httpx.Response, url: str) -> None:
    """An HTTP error in words."""
    code = response.status_code
    if code == 200:
        return
    what, fix = {
        401: ("asks for a login", "Use an address that works without one, or download the file and upload it here."),
        403: ("refuses the file", "Check that the address works without a login; links of some sites expire."),
        404: ("has no such file", "Check the address for typing errors."),
        410: ("has this file no longer", "Look for a newer address."),
    }.get(code, ("answered with an error", "Try again in a moment."))
    raise UserError(f"{urlsplit(url).hostname} {what} (HTTP {code}).", where=shown(url), fix=fix)


def name_of(response: httpx.Response, url: str) -> str:
    """The file's name: what the server calls it, else the end of the address; with the ending of its type if needed."""
    said = response.headers.get("content-disposition", "")
    extended = re.search(r"filename\*\s*=\s*[\w-]+'[^']*'([^;\s]+)", said, re.IGNORECASE)
    plain = re.search(r'filename\s*=\s*("[^"]*"|[^;\s]+)', said, re.IGNORECASE)
    given = unquote(extended[1]) if extended else plain[1].strip('"') if plain else unquote(urlsplit(url).path)
    name = file_name(given)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return name if Path(name).suffix.lower() in EXTENSIONS else name + TYPES.get(kind, "")


def shown(url: str) -> str:
    """An address fit to be shown."""
    return address({"url": url})
