"""Pages that do what no real page does on demand: fail, wait, show hostile text. Served by `create` for the tests."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h2o_wave import ui

from llm_studio.charts.spec import ChartSpec, Series
from llm_studio.errors import UserError
from llm_studio.ui import build, draw, text
from llm_studio.ui.app import create as create_studio
from llm_studio.ui.page import Card, Context, Event, Outcome, Page, dialog, download, go, panel, stay
from llm_studio.ui.tables import Column, Row, table
from llm_studio.ui.uploads import take_upload

HOSTILE = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script><b>bold</b> & 'quotes' `code` *stars*"
COUNTS: dict[str, int] = {}


@dataclass(frozen=True)
class Data:
    """What the form page shows."""

    draft: dict[str, Any]
    ticks: int
    args: tuple[str, ...]
    query: dict[str, str]


def load_form(ctx: Context, args: tuple[str, ...]) -> Data:
    if args[:1] == ("broken",):
        raise RuntimeError("a secret detail")
    if args[:1] == ("gone",):
        raise UserError("There is no thing gone.", where="the address", fix="Choose another one.")
    ctx.state["ticks"] = ctx.state.get("ticks", 0) + 1
    return Data(dict(ctx.draft), ctx.state["ticks"], args, dict(ctx.query))


def form_cards(data: Data) -> Sequence[Card]:
    return (
        build.header("Form", action=build.primary("start", "Start")),
        build.form(
            "main",
            "form",
            [
                ui.textbox(name="title", label="Title", value=data.draft.get("title", ""), tooltip="A title."),
                ui.textbox(name="note", label="Note", value=data.draft.get("note", ""), tooltip="Note.", trigger=True),
                ui.checkbox(name="agree", label="Agree", value=data.draft.get("agree", False), tooltip="Agree."),
                build.text_area("long", "Long", data.draft.get("long", ""), tooltip="Much text."),
                build.text_area("long2", "Long 2", data.draft.get("long2", ""), tooltip="Much text."),
                build.text_area("long3", "Long 3", data.draft.get("long3", ""), tooltip="Much text."),
                build.text_area("long4", "Long 4", data.draft.get("long4", ""), tooltip="Much text."),
                ui.file_upload(name="file", label="Upload", compact=True, tooltip="A file."),
                build.paragraph(f"ticks {data.ticks}", name="ticks"),
                build.paragraph(f"draft {sorted(data.draft.items())!r}"[:500], name="draft"),
                build.paragraph(f"at {data.args!r} {data.query!r}", name="at"),
                build.row(
                    *(build.button(name, name) for name in
                      ("nothing", "refuse", "fail", "slow", "ask", "side", "fetch", "clear", "take"))
                ),
            ],
        ),
    )  # fmt: skip


def start(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    COUNTS["start"] = COUNTS.get("start", 0) + 1
    time.sleep(0.3)
    return go(f"#form/started{COUNTS['start']}", "Started")


def refuse(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    raise UserError(f"The title {ctx.draft.get('title')!r} is taken.", where="Title", fix="Choose another title.")


def fail(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    raise RuntimeError("a secret detail")


def slow(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    time.sleep(2)
    return stay("Slow is done")


def fetch(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    path = Path(ctx.home.uploads) / "page.html"
    path.write_text("<script>window.hacked=1</script>")
    return download(path, "my page.html")


def clear(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    ctx.draft.clear()
    return stay()


def take(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    uploads = [take_upload(ctx.home, url) for url in ctx.draft.pop("file", None) or []]
    return stay(" ".join(f"{upload.name} {upload.size_bytes}" for upload in uploads) or "none", "info")


FORM = Page(
    route="form", title="Form", section="home", load=load_form, cards=form_cards, refresh_seconds=0.5,
    actions={
        "start": start, "refuse": refuse, "fail": fail, "slow": slow, "fetch": fetch, "clear": clear, "take": take,
        "nothing": lambda ctx, args, event: None,
        "ask": lambda ctx, args, event: dialog(
            "Sure?", ui.textbox(name="reason", label="Reason", tooltip="Why."),
            build.row(build.button("delete_refuse", "Delete"), build.button("close", "Keep")),
        ),
        "delete_refuse": refuse,
        "side": lambda ctx, args, event: panel("Beside", build.code("yaml", "a: 1"), build.button("close", "Done")),
    },
)  # fmt: skip


def load_nothing(ctx: Context, args: tuple[str, ...]) -> None:
    """The page is always the same."""


def hostile_cards(data: None) -> Sequence[Card]:
    raw = HOSTILE  # as it would be without the escaping, for the second wall
    return (
        build.header(HOSTILE, subtitle=HOSTILE, status="running"),
        build.stats("tiles", [(HOSTILE, HOSTILE, HOSTILE)]),
        build.form(
            "main",
            "escaped",
            [
                build.heading(HOSTILE, hint=HOSTILE),
                build.paragraph(HOSTILE, name="paragraph"),
                ui.text(name="plain", content=text.plain(HOSTILE)),
                ui.text(name="answer", content=text.markdown(HOSTILE)),
                ui.message_bar(type="info", text=text.plain(HOSTILE), name="bar"),
                build.error_bar(UserError(HOSTILE, where=HOSTILE, fix=HOSTILE)),
                build.pairs("pairs", [(HOSTILE, HOSTILE)]),
                build.code("code", HOSTILE),
                build.log("log", HOSTILE),
                *build.progress("progress", HOSTILE, 0.5),
                ui.textbox(name="box", label="Box", value=HOSTILE, tooltip="Box."),
                table("things", [Column(name="a", label="A"), Column(name="b", label="B", kind="markdown")],
                      [Row(name="r", cells={"a": text.cell(HOSTILE), "b": text.markdown_cell(HOSTILE)})],
                      height="120px"),
            ],
        ),
        draw.chart_card("main", "chart", ChartSpec(
            id="c", title=HOSTILE, x_title=HOSTILE, y_title=HOSTILE,
            series=(Series(name=HOSTILE, x=(1, 2), y=(1.0, 2.0)), Series(name="b", x=(1, 2), y=(2.0, 1.0), colour=1))
        ), HOSTILE),
        build.form(
            "side",
            "raw",
            [
                ui.markup(name="raw_markup", content=f"{raw}<p style='color:red' class='styled'>styled</p>"),
                ui.text(name="raw_text", content=raw),
                ui.message_bar(type="info", text=raw, name="raw_bar"),
            ],
        ),
    )  # fmt: skip


HOSTILE_PAGE = Page(
    route="hostile",
    title="Hostile",
    section="home",
    load=lambda ctx, args: None,
    cards=hostile_cards,
    refresh_seconds=None,
)


def load_charts(ctx: Context, args: tuple[str, ...]) -> int:
    ctx.state["points"] = ctx.state.get("points", 0) + 1
    return int(ctx.state["points"])


def chart_cards(points: int) -> Sequence[Card]:
    x = tuple(range(points + 1))
    spec = ChartSpec(id="live", title="Live", x_title="step", y_title="loss",
                     series=(Series(name="train", x=x, y=tuple(1 / (1 + one) for one in x)),))  # fmt: skip
    empty = ChartSpec(id="none", title="None", x_title="step", y_title="loss", empty="The loss will appear here.")
    return (
        build.header("Charts"),
        draw.chart_card("grid", "live", spec),
        *(draw.chart_card("grid", f"still{index}", _still(index)) for index in range(6)),
        draw.chart_card("grid", "none", empty),
    )


def _still(index: int) -> ChartSpec:
    return ChartSpec(id=f"s{index}", title=f"Still {index}", x_title="step", y_title="loss",
                     series=(Series(name="a", x=(1, 2, 3), y=(1.0, 3.0, 2.0), colour=index),
                             Series(name="b", x=(1, 2, 3), y=(2.0, 1.0, 3.0), colour=index + 1, dashed=True))
                     )  # fmt: skip


CHARTS = Page(route="charts", title="Charts", section="home", load=load_charts, cards=chart_cards, refresh_seconds=0.5)


def bad_cards(data: None) -> Sequence[Card]:
    return (
        build.header("Bad"),
        build.form("main", "bad", [ui.slider(name="s", label="S", value=float("nan"), tooltip="S")]),
    )


BAD = Page(route="bad", title="Bad", section="home", load=load_nothing, cards=bad_cards, refresh_seconds=None)


def _plain(route: str, title: str) -> Page:
    return Page(route=route, title=title, section=route, load=load_nothing, cards=lambda data: (build.header(title),))


def create() -> Any:
    """The studio's app with these pages in place of its own."""
    plain = [_plain("home", "Home"), _plain("datasets", "Data sets"), _plain("settings", "Settings")]
    return create_studio((*plain, FORM, HOSTILE_PAGE, CHARTS, BAD))
