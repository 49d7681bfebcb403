"""Addresses of the studio: what stands after "#" in the browser, taken apart."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote


@dataclass(frozen=True)
class Address:
    """#experiments/ab12?status=running -> route "experiments", args ("ab12",), query {"status": "running"}."""

    route: str
    args: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What drafts and tab states belong to: the route and its first argument."""
        return "/".join((self.route, *self.args[:1]))


def parse(text: str | None) -> Address:
    """An empty address is the first page. Text after "#" only, at most 2,000 characters of it."""
    path, _, query = (text or "").lstrip("#")[:2000].partition("?")
    parts = [unquote(part) for part in path.split("/")]
    args = tuple(part for part in parts[1:] if part)
    return Address(route=parts[0] or "home", args=args, query=dict(parse_qsl(query, keep_blank_values=True)))
