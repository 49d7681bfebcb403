"""A router without a browser: a tab that talks to it as Wave would, a page with every kind of action."""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from h2o_wave import ui
from h2o_wave.core import Expando

from llm_studio.errors import UserError
from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Event, Outcome, Page, dialog, go, panel, stay
from llm_studio.ui.router import Router
from llm_studio.ui.tables import Column, Row, table
from tests.support.fake_wave import FakeSite, query

SUBMISSION = "__wave_submission_name__"
Ops = list[dict[str, Any]]


class Tab:
    """One browser tab at a router, as Wave would talk to it."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.site = FakeSite()
        self.client = Expando()

    async def send(
        self, args: dict[str, Any] | None = None, events: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        await self.router.serve(query(self.site, self.client, args, events))
        return self.site.take()

    async def open(self, address: str = "") -> list[dict[str, Any]]:
        return await self.send({"#": address, SUBMISSION: "#"} if address else {})

    async def press(self, name: str, **typed: Any) -> list[dict[str, Any]]:
        return await self.send({**typed, name: True, SUBMISSION: name})

    async def leave(self) -> None:
        await self.send(events={"@system": {"client_disconnect": True}})


def nothing(ctx: Context, args: tuple[str, ...]) -> None:
    return None


def no_cards(data: None) -> list[Card]:
    return []


CALLS: list[str] = []


def form_page() -> Page:
    CALLS.clear()

    def load(ctx: Context, args: tuple[str, ...]) -> dict[str, Any]:
        return {**ctx.draft, "chosen": ctx.draft.get("rows", []), "address": ctx.address, "query": ctx.query}

    columns, rows = [Column(name="a", label="A", kind="link")], [Row(name="r1", cells={"a": "x"})]

    def cards(data: dict[str, Any]) -> list[Card]:
        items = [
            ui.textbox(name="title", value=data.get("title", ""), tooltip="t"),
            ui.textbox(name="free", tooltip="t"),
            ui.toggle(name="on", value=data.get("on", False), tooltip="t"),
            table("rows", columns, rows, multiple=True),
            table("plain", columns, rows),
            build.paragraph(f"{data['address']} {data['query']}", name="where"),
            build.row(*(build.button(name, name) for name in ("ok", "refuse", "fail", "wait", "ask", "side", "go"))),
            build.button("stop/ab12", "Stop"),
        ]
        return [build.form("main", "form", items)]

    def note(words: str, outcome: Outcome | None = None) -> Any:
        def act(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
            CALLS.append(f"{words} {event.target} {event.kind} {sorted(ctx.draft.items())}")
            return outcome

        return act

    def refuse(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
        raise UserError("No.", where="here", fix="Do it so.")

    def fail(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
        raise RuntimeError("a secret detail")

    def wait(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
        CALLS.append("wait")
        time.sleep(0.3)
        return stay("Waited")

    question = dialog("Sure?", ui.textbox(name="why", tooltip="t"), build.button("refuse", "Yes"))
    beside = panel("P", build.button("close", "Done"))
    actions = {
        "ok": note("ok"), "stop": note("stop"), "plain": note("plain"), "rows": note("rows"), "remove": note("remove"),
        "refuse": refuse, "fail": fail, "wait": wait, "ask": note("ask", question), "side": note("side", beside),
        "go": note("go", go("#home", "Gone")),
    }  # fmt: skip
    return Page(route="form", title="Form", section="home", load=load, cards=cards, actions=actions, refresh_seconds=60)


def run(story: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: the browser tests of the same session keep an event loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, asyncio.wait_for(story, 20)).result()


def keys(ops: list[dict[str, Any]]) -> list[str]:
    return [op.get("k", "") for op in ops]


def value(ops: list[dict[str, Any]], key: str) -> Any:
    found = [op.get("v") for op in ops if op.get("k") == key]
    assert found, f"{key} not among {keys(ops)}"
    return found[-1]


def notice(ops: list[dict[str, Any]]) -> str:
    return str(value(ops, "notice items 0 markup content"))
