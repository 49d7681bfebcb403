"""The router without a browser: what a tab gets for what it sends."""

import asyncio
import time
from pathlib import Path

import pytest

from llm_studio.store import Home, Store
from llm_studio.ui.page import Page, close
from llm_studio.ui.router import Router
from tests.support.routed import CALLS, SUBMISSION, Tab, form_page, keys, no_cards, nothing, notice, run, value


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def router(home: Home) -> Router:
    return Router(pages=(form_page(), Page(route="home", title="Home", section="home", load=nothing, cards=no_cards)),
                  store=Store.open(home), home=home)  # fmt: skip


def test_opening_an_address_sends_the_frame_and_the_page(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        ops = await tab.open("form/a?x=1")
        assert {"meta", "marker", "side_nav", "form"} <= set(keys(ops))
        assert "#form/a {&#x27;x&#x27;: &#x27;1&#x27;}" in str(ops)
        await tab.leave()

    run(story())


def test_every_answer_moves_the_marker_so_that_the_overlay_clears(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        for number in (2, 3):
            ops = await tab.press("ok")
            assert f'data-rev="{number}"' in value(ops, "marker content")
        await tab.leave()

    run(story())


def test_arguments_are_a_difference_and_are_merged_into_the_draft(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await tab.press("ok", title="first", on=True)
        await tab.press("ok")
        assert CALLS[-1] == "ok  click [('on', True), ('title', 'first')]"
        await tab.leave()

    run(story())


def test_only_inputs_that_the_tab_shows_enter_the_draft(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await tab.press("ok", title="t", smuggled="x", ok=True)
        assert CALLS[-1].endswith("[('title', 't')]")
        await tab.leave()

    run(story())


def test_drafts_belong_to_one_subject_and_one_tab(router: Router) -> None:
    async def story() -> None:
        tab, other = Tab(router), Tab(router)
        await tab.open("form/a")
        await other.open("form/a")
        await tab.press("ok", title="mine")
        await other.press("ok")
        assert CALLS[-1].endswith("[]")
        await tab.open("form/b")
        await tab.press("ok")
        assert CALLS[-1].endswith("[]")
        await tab.open("form/a/more")
        await tab.press("ok")
        assert CALLS[-1].endswith("[('title', 'mine')]")
        await tab.leave()
        await other.leave()

    run(story())


def test_the_hash_that_wave_repeats_does_not_swallow_a_button(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await tab.send({"#": "form/a", "ok": True, SUBMISSION: "ok"})
        assert CALLS == ["ok  click []"]
        await tab.leave()

    run(story())


def test_a_button_is_found_when_a_field_was_written_to_after_it(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await tab.send({"ok": True, "title": "late", SUBMISSION: "title"})
        assert CALLS == ["ok  click [('title', 'late')]"]
        await tab.leave()

    run(story())


def test_nothing_of_what_the_user_typed_is_sent_back_to_him(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        ops = await tab.press("ok", title="typed", free="typed too")
        assert not [key for key in keys(ops) if key.startswith("form")]
        await tab.leave()

    run(story())


def test_a_button_carries_its_argument_a_row_its_name_a_menu_its_row(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await tab.press("stop/ab12")
        await tab.send({"plain": ["r1"], SUBMISSION: "plain"})
        await tab.send({"remove": "r1", SUBMISSION: "remove"})
        await tab.send({"": {}, SUBMISSION: "rows"}, {"rows": {"select": ["r1"]}})
        assert [call.split(" [")[0] for call in CALLS] == [
            "stop ab12 click",
            "plain r1 click",
            "remove r1 click",
            "rows r1 select",
        ]
        assert "('rows', ['r1'])" in CALLS[-1]
        await tab.leave()

    run(story())


def test_a_user_error_says_what_where_and_fix(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        words = notice(await tab.press("refuse"))
        assert "No." in words and "Where: here" in words and "Do it so." in words
        assert notice(await tab.press("ok")) == ""
        await tab.leave()

    run(story())


def test_a_fault_says_a_reference_and_never_its_text(router: Router, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        words = notice(await tab.press("fail"))
        assert "went wrong" in words and "secret" not in words
        assert words.split("reference ")[1][:8] in caplog.text and "a secret detail" in caplog.text
        await tab.leave()

    run(story())


def test_the_same_button_is_ignored_while_it_runs(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        await asyncio.gather(*(tab.press("wait") for _ in range(4)))
        assert CALLS == ["wait"]
        await tab.leave()

    run(story())


def test_a_waiting_action_does_not_hold_up_other_tabs(router: Router) -> None:
    async def story() -> None:
        tab, other = Tab(router), Tab(router)
        await tab.open("form/a")
        await other.open("form/a")
        slow = asyncio.create_task(tab.press("wait"))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await other.press("ok")
        assert time.monotonic() - began < 0.25
        assert "Waited" in notice(await slow)
        await tab.leave()
        await other.leave()

    run(story())


def test_a_dialog_keeps_its_error_and_its_input_and_goes_when_shut(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        assert value(await tab.press("ask"), "meta dialog")["title"] == "Sure?"
        shown = value(await tab.press("refuse", why="because"), "meta dialog")
        assert "No." in shown["items"][0]["markup"]["content"]
        assert shown["items"][1]["textbox"]["value"] == "because"
        ops = await tab.send({}, {"studio_dialog": {"dismissed": True}})
        assert value(ops, "meta dialog") is None
        assert "meta dialog" not in keys(await tab.press("ok"))
        await tab.leave()

    run(story())


def test_a_side_panel_stays_over_an_action_and_goes_with_close(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        assert value(await tab.press("side"), "meta side_panel")["title"] == "P"
        assert "meta side_panel" not in keys(await tab.press("ok"))
        assert value(await tab.press("close"), "meta side_panel") is None
        await tab.leave()

    run(story())


def test_go_shows_the_other_page_at_once_and_moves_the_address(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        ops = await tab.press("go")
        assert value(ops, "meta redirect") == "#home"
        assert {"k": "form"} in ops
        assert "Gone" in notice(ops)
        await tab.leave()

    run(story())


def test_an_unknown_address_and_an_empty_one_have_pages(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        assert "There is no page at #no/such" in str(await tab.open("no/such"))
        assert "There is no page" not in str(await tab.send({"#": "", SUBMISSION: "#"}))
        await tab.leave()

    run(story())


def test_a_departed_tab_is_forgotten_and_no_longer_refreshed(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        refresher = tab.client.tab.refresher
        await tab.leave()
        await asyncio.sleep(0)
        assert refresher.cancelled() and tab.client.tab is None
        assert tab.site.take() == []

    run(story())


def test_a_resync_sends_everything_again(router: Router) -> None:
    async def story() -> None:
        tab = Tab(router)
        first = set(keys(await tab.open("form/a")))
        again = await tab.send({SUBMISSION: "studio"}, {"studio": {"resync": "missed 1"}})
        assert again[0] == {} and first - set(keys(again)) <= {"marker content"}
        await tab.leave()

    run(story())


def test_the_theme_switch_is_remembered_for_the_next_tab(router: Router) -> None:
    async def story() -> None:
        tab, other = Tab(router), Tab(router)
        await tab.open("form/a")
        assert value(await tab.send({SUBMISSION: "studio"}, {"studio": {"theme": True}}), "meta theme") == "studio-dark"
        meta = next(op["d"] for op in await other.open("form/a") if op.get("k") == "meta")
        assert meta["theme"] == "studio-dark"
        await tab.leave()
        await other.leave()

    run(story())


def test_close_without_anything_open_is_harmless(router: Router) -> None:
    assert close().closes

    async def story() -> None:
        tab = Tab(router)
        await tab.open("form/a")
        assert "meta dialog" not in keys(await tab.press("close"))
        await tab.leave()

    run(story())
