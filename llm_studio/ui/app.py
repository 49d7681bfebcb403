"""The ASGI app of the studio: Wave's app behind an exact check of the credentials that waved sends."""

import base64
import hmac
import logging
import os
from collections.abc import Sequence
from typing import Any

from h2o_wave import Q, app
from h2o_wave import main as wave_app
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from llm_studio.store import Home, Store
from llm_studio.ui import downloads
from llm_studio.ui.page import Page
from llm_studio.ui.router import Router

WAVE_PATHS = frozenset({"/", "/disconnect"})


class Guarded:
    """Lets through what waved itself sends and nothing else.

    Wave's own check takes any `Authorization` that is not Basic ("Bearer x") for a valid one; see the tests.
    """

    def __init__(self, inner: Any, *, key_id: str, key_secret: str) -> None:
        if not key_id or not key_secret:
            raise ValueError("the app needs the credentials that waved will use")
        self._inner = inner
        self._expected = b"Basic " + base64.b64encode(f"{key_id}:{key_secret}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] != "http" or scope["path"] not in WAVE_PATHS or scope["method"] != "POST":
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
        elif not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), self._expected):
            await PlainTextResponse("Unauthorized", status_code=401)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)


def _studio_home() -> Home:
    home = Home.default()
    home.create()
    return home


def _own_pages() -> Sequence[Page]:
    from llm_studio.ui.pages import PAGES

    return PAGES


def create(pages: Sequence[Page] | None = None) -> Guarded:
    """Open the store, register the one route with Wave and return the ASGI app.

    pages: others than the studio's own, for tests.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "h2o_wave"):
        logging.getLogger(name).setLevel(logging.WARNING)
    home = _studio_home()
    downloads.clear(home)
    router = Router(pages=_own_pages() if pages is None else pages, store=Store.open(home), home=home)

    @app("/")  # type: ignore[untyped-decorator]
    async def serve(q: Q) -> None:
        await router.serve(q)

    return Guarded(
        wave_app,
        key_id=os.environ.get("H2O_WAVE_APP_ACCESS_KEY_ID", ""),
        key_secret=os.environ.get("H2O_WAVE_APP_ACCESS_KEY_SECRET", ""),
    )
