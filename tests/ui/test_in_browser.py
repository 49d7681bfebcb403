"""The sharp edges of Wave, each in a real Chromium: every test here fails without the cure that its name speaks of."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import Studio
from tests.support.demo_page import by_name, overlay_is_gone, press

pytestmark = pytest.mark.browser


def test_a_deep_link_opens_its_page_with_arguments_and_query(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/ab/cd?status=running&q=a%20b")
    expect(by_name(page, "at")).to_contain_text("('ab', 'cd') {'status': 'running', 'q': 'a b'}")


def test_back_and_forward_show_the_pages_they_came_from(demo: Studio, page: Any) -> None:
    demo.open(page, "#home")
    page.locator('[data-test="nav"] [data-test="nav_settings"]').click()
    expect(page.locator("h1")).to_have_text("Settings")
    page.locator('[data-test="nav"] [data-test="nav_datasets"]').click()
    expect(page.locator("h1")).to_have_text(re.compile("Data ?sets"))
    page.go_back()
    expect(page.locator("h1")).to_have_text("Settings")
    assert page.url.endswith("#settings")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Home")
    page.go_forward()
    expect(page.locator("h1")).to_have_text("Settings")


def test_an_unknown_address_says_so_and_offers_a_way_out(demo: Studio, page: Any) -> None:
    demo.open(page, "#no/such?page=1")
    expect(page.locator("h1")).to_have_text("Page not found")
    by_name(page, "#home").click()
    expect(page.locator("h1")).to_have_text("Home")


def test_the_navigation_marks_where_one_is_and_never_moves_the_address(demo: Studio, page: Any) -> None:
    demo.open(page, "#settings")
    expect(page.locator('[data-test="nav"] [aria-current="page"]')).to_have_text("Settings")
    page.wait_for_timeout(1500)
    assert page.url.endswith("#settings")


def test_a_second_submission_keeps_what_the_first_one_brought(demo: Studio, page: Any) -> None:
    """Wave sends only what changed since the last submission."""
    demo.open(page, "#form/delta")
    by_name(page, "title").fill("first")
    press(demo, page, "nothing")
    press(demo, page, "nothing")
    expect(by_name(page, "draft")).to_contain_text("('title', 'first')")
    press(demo, page, "refuse")
    expect(page.locator(".ls-error")).to_contain_text("'first' is taken")


def test_a_button_is_obeyed_while_the_address_has_a_hash(demo: Studio, page: Any) -> None:
    """Wave repeats the hash in every submission."""
    demo.open(page, "#form/hash")
    press(demo, page, "refuse")
    expect(page.locator(".ls-error")).to_be_visible()


def test_the_overlay_goes_away_when_an_action_changes_nothing(demo: Studio, page: Any) -> None:
    demo.open(page, "#hostile")  # a page that does not refresh
    demo.open(page, "#form/overlay")
    press(demo, page, "nothing")
    page.wait_for_timeout(300)
    assert overlay_is_gone(page)


def test_an_error_keeps_the_page_and_the_input_and_says_what_where_and_how_to_fix_it(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/error")
    by_name(page, "title").fill("typed")
    press(demo, page, "refuse")
    bar = page.locator(".ls-error")
    expect(bar).to_contain_text("The title 'typed' is taken.")
    expect(bar).to_contain_text("Where: Title")
    expect(bar).to_contain_text("Choose another title.")
    expect(by_name(page, "title")).to_have_value("typed")


@pytest.mark.parametrize("address", ["#form/failing", "#form/broken"])
def test_a_fault_of_ours_shows_plain_words_and_a_reference_but_no_traceback(
    demo: Studio, page: Any, address: str
) -> None:
    demo.open(page, address)
    if address == "#form/failing":
        by_name(page, "title").fill("typed")
        press(demo, page, "fail")
        expect(by_name(page, "title")).to_have_value("typed")
    bar = page.locator(".ls-error")
    expect(bar).to_contain_text("Something in the studio went wrong")
    reference = re.search(r"reference ([0-9a-f]{8})", bar.inner_text())
    assert reference
    assert "Traceback" not in page.content() and "a secret detail" not in page.content()
    assert reference.group(1) in demo.log() and "a secret detail" in demo.log()


def test_cards_that_cannot_be_sent_leave_words_and_no_blank_page(demo: Studio, page: Any) -> None:
    demo.open(page, "#bad")
    expect(page.locator(".ls-error")).to_contain_text("Something in the studio went wrong")
    expect(page.locator('[data-test="nav"]')).to_be_visible()


def test_something_that_is_gone_is_said_in_the_page(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/gone")
    expect(page.locator(".ls-error")).to_contain_text("There is no thing gone.")


def test_live_refresh_keeps_focus_typed_text_and_scroll(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/live")
    box = by_name(page, "title")
    box.click()
    before = by_name(page, "ticks").inner_text()
    page.keyboard.type("hello", delay=120)
    page.wait_for_timeout(1300)
    page.keyboard.type(" world", delay=60)
    assert by_name(page, "ticks").inner_text() != before
    expect(box).to_have_value("hello world")
    assert page.evaluate("() => document.activeElement.value") == "hello world"


def test_another_page_starts_at_its_top_and_a_refresh_does_not_move_the_page(demo: Studio, page: Any) -> None:
    top = "() => document.querySelector('h1').getBoundingClientRect().top"
    demo.open(page, "#form/scroll")
    by_name(page, "nothing").scroll_into_view_if_needed()
    scrolled = page.evaluate(top)
    assert scrolled < 0
    page.wait_for_timeout(1300)
    assert page.evaluate(top) == scrolled
    page.locator('[data-test="nav"] [data-test="nav_home"]').click()
    expect(page.locator("h1")).to_have_text("Home")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Form")
    assert page.evaluate(top) > 0


def test_a_changed_draft_shows_in_the_fields(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/reset")
    by_name(page, "title").fill("typed")
    press(demo, page, "clear")
    expect(by_name(page, "title")).to_have_value("")


def test_a_double_click_on_start_starts_once(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/double")
    button = page.locator('button[data-test="start"]')
    button.dblclick()
    page.wait_for_url(re.compile("started"))
    page.wait_for_timeout(800)
    assert page.url.endswith("#form/started1")
    demo.open(page, "#form/double2")
    page.evaluate(
        "() => { const b = document.querySelector('button[data-test=start]'); b.click(); b.click(); b.click() }"
    )
    page.wait_for_url(re.compile("started2"))
    page.wait_for_timeout(800)
    assert page.url.endswith("#form/started2")


def test_a_slow_action_does_not_stop_other_tabs(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/slow")
    other = page.context.new_page()
    demo.open(other, "#form/other")
    page.locator('button[data-test="slow"]').click()
    demo.act(other, lambda: other.locator('button[data-test="nothing"]').click())
    assert page.locator(".ls-notice").count() == 0, "the slow action was over before the other tab got its answer"
    expect(page.locator(".ls-notice")).to_have_text("Slow is done")


def test_a_form_above_one_mebibyte_is_refused_with_words(demo: Studio, page: Any) -> None:
    """Wave would close the connection and lose everything."""
    demo.open(page, "#form/big")
    by_name(page, "title").fill("kept")
    for name in ("long", "long2", "long3", "long4"):
        by_name(page, name).click()
        page.evaluate(
            "(name) => { const area = document.querySelector(`textarea[data-test=${name}]`);"
            "const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;"
            "set.call(area, 'x'.repeat(290000)); area.dispatchEvent(new Event('input', {bubbles: true})) }",
            name,
        )
    press(demo, page, "nothing")
    expect(page.locator(".ls-error")).to_contain_text("at most 1 MB can be sent at once")
    expect(by_name(page, "title")).to_have_value("kept")
    press(demo, page, "nothing")


def test_a_text_area_says_when_it_is_full(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/full")
    area = page.locator('textarea[data-test="long"]')
    area.click()
    assert area.get_attribute("maxlength") == "300000"
    page.evaluate(
        "() => { const area = document.querySelector('textarea[data-test=long]');"
        "const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;"
        "set.call(area, 'x'.repeat(300000)); area.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    expect(page.locator(".ls-limit")).to_contain_text("at most 300,000 characters")


def test_a_dialog_asks_shows_the_error_inside_and_closes(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/dialog")
    press(demo, page, "ask")
    by_name(page, "reason").fill("because")
    press(demo, page, "delete_refuse")
    expect(page.locator(".ms-Dialog-main .ls-error")).to_contain_text("is taken")
    expect(by_name(page, "reason")).to_have_value("because")
    press(demo, page, "close")
    expect(page.locator(".ms-Dialog-main")).to_have_count(0)
    page.wait_for_timeout(1200)
    expect(page.locator(".ms-Dialog-main")).to_have_count(0)


def test_a_side_panel_opens_and_stays_shut_once_shut(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/panel")
    press(demo, page, "side")
    expect(page.locator(".ms-Panel")).to_contain_text("a: 1")
    press(demo, page, "close")
    expect(page.locator(".ms-Panel-main")).to_have_count(0)
    press(demo, page, "ask")
    expect(page.locator(".ms-Panel-main")).to_have_count(0)
