"""A Wave query without a browser or waved: the real Query over a site that only notes what is saved."""

import json
from typing import Any

from h2o_wave.core import AsyncPage, Expando
from h2o_wave.server import Auth, Query


class FakeSite:
    """Notes every operation that would go to a browser."""

    def __init__(self) -> None:
        self.ops: list[dict[str, Any]] = []
        self.saves = 0

    def __getitem__(self, url: str) -> AsyncPage:
        return AsyncPage(self, url)

    async def _save(self, url: str, patch: str) -> None:
        self.saves += 1
        self.ops += json.loads(patch)["d"]

    def take(self) -> list[dict[str, Any]]:
        """The operations since the last call."""
        ops, self.ops = self.ops, []
        return ops


def query(
    site: FakeSite, client: Expando, args: dict[str, Any] | None = None, events: dict[str, Any] | None = None
) -> Query:
    """One message of the tab whose state is `client`."""
    return Query(
        site, "unicast", Auth("anon", "anon", "", "", ""), "client-1", "/", Expando(), Expando(), client,
        Expando(dict(args or {})), Expando({name: Expando(value) for name, value in (events or {}).items()}), {},
    )  # fmt: skip
