"""The sharp edges of Wave in a real Chromium: files, data, charts, the theme, and answers that get lost."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import Studio
from tests.support.demo_page import by_name, press

pytestmark = pytest.mark.browser


def test_an_upload_is_moved_under_a_name_of_ours(demo: Studio, page: Any, tmp_path: Path) -> None:
    source = tmp_path / "my <b> data ä.csv"
    source.write_text("a,b\n1,2\n")
    demo.open(page, "#form/upload")
    page.locator('input[type="file"]').set_input_files(source)
    page.wait_for_timeout(800)
    press(demo, page, "take")
    expect(page.locator(".ls-notice")).to_have_text("my <b> data ä.csv 8")
    stored = [path.name for path in (demo.home / "uploads").glob("*.csv")]
    assert stored and all(re.fullmatch(r"[0-9a-f]{16}\.csv", name) for name in stored)
    assert not list((demo.home / "wave" / "f").rglob("*.csv"))


def test_a_download_is_saved_under_its_name_and_never_opened_as_a_page(demo: Studio, page: Any) -> None:
    demo.open(page, "#form/download")
    with page.expect_download() as happening:
        page.locator('button[data-test="fetch"]').click()
    assert happening.value.suggested_filename == "my page.html"
    assert "window.hacked" in Path(happening.value.path()).read_text()
    answer = page.request.get(happening.value.url)
    assert answer.headers["content-type"] == "application/octet-stream"


def test_html_in_data_is_inert_in_every_kind_of_component(demo: Studio, page: Any) -> None:
    demo.open(page, "#hostile")
    page.wait_for_timeout(500)
    escaped = by_name(page, "escaped").first
    assert escaped.locator("img, script").count() == 0
    assert escaped.get_by_text("bold", exact=True).count() == 0
    for name in ("paragraph", "plain", "pairs", "code", "log"):
        assert "<img src=x onerror=" in by_name(page, name).first.inner_text()
    assert page.locator("h1 img, h1 b, .ls-tiles img, .ls-tiles b, [data-test=header] img").count() == 0
    assert page.evaluate("() => window.hacked") is None


def test_even_unescaped_html_cannot_run_script_or_style_or_reach_out(demo: Studio, page: Any) -> None:
    """The second wall: the content security policy."""
    demo.open(page, "#hostile")
    expect(page.locator('[data-test="raw_markup"] img')).to_have_count(1)
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.hacked") is None
    colour = page.locator(".styled").evaluate("(element) => getComputedStyle(element).color")
    assert colour != "rgb(255, 0, 0)"
    # the broken picture itself is a file that is not there
    page.faults[:] = [fault for fault in page.faults if not fault.endswith("/x")]


def test_a_live_chart_keeps_its_zoom_while_points_arrive(demo: Studio, page: Any) -> None:
    demo.open(page, "#charts")
    chart = page.locator('.ls-chart[data-chart="live"]')
    expect(chart).to_have_attribute("data-drawn", re.compile(r"[3-9]"), timeout=20_000)
    page.evaluate("() => Plotly.relayout(document.querySelector('[data-chart=live]'), {'xaxis.range': [0, 1.5]})")
    drawn = int(chart.get_attribute("data-drawn"))
    points = int(chart.get_attribute("data-points"))
    expect(chart).not_to_have_attribute("data-drawn", str(drawn))
    page.wait_for_timeout(1300)
    assert int(chart.get_attribute("data-points")) > points
    assert page.evaluate("() => document.querySelector('[data-chart=live]').layout.xaxis.range") == [0, 1.5]
    expect(page.locator('.ls-chart[data-chart="none"]')).to_have_text("The loss will appear here.")


def test_many_charts_fit_their_cards_and_follow_the_window_and_the_theme(demo: Studio, page: Any) -> None:
    demo.open(page, "#charts")
    expect(page.locator(".ls-chart.js-plotly-plot")).to_have_count(7, timeout=20_000)

    def widths() -> list[float]:
        return page.evaluate(
            "() => [...document.querySelectorAll('.js-plotly-plot')].map(chart =>"
            " chart.querySelector('.main-svg').getBoundingClientRect().width - chart.clientWidth)"
        )

    assert all(abs(difference) <= 1 for difference in widths())
    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_timeout(600)
    assert all(abs(difference) <= 1 for difference in widths())
    page.locator('[data-action="studio.theme"]').click()
    page.locator('html[data-theme="dark"]').wait_for(state="attached")
    page.wait_for_timeout(500)
    ink = page.evaluate("() => document.querySelector('[data-chart=still0]').layout.font.color")
    assert ink == "#a8b0bd"
    page.locator('[data-action="studio.theme"]').click()
    page.locator('html[data-theme="light"]').wait_for(state="attached")


def test_the_theme_is_remembered(demo: Studio, page: Any) -> None:
    demo.open(page, "#home")
    page.locator('[data-action="studio.theme"]').click()
    page.locator('html[data-theme="dark"]').wait_for(state="attached")
    demo.open(page, "#settings")
    page.reload()
    page.locator('html[data-theme="dark"]').wait_for(state="attached")
    page.locator('[data-action="studio.theme"]').click()
    page.locator('html[data-theme="light"]').wait_for(state="attached")


def test_a_first_answer_that_got_lost_is_asked_for_again(demo: Studio, page: Any) -> None:
    """waved may publish before it has noted the subscriber; then nothing would ever be shown."""
    lost: list[str] = []

    def relay(socket: Any) -> None:
        server = socket.connect_to_server()

        def forward(message: str) -> None:
            if '"meta"' in message and not lost:
                lost.append(message)
            else:
                socket.send(message)

        server.on_message(forward)

    page.route_web_socket(re.compile("_s/"), relay)
    demo.open(page, "#form/lostfirst")
    assert lost
    expect(page.locator("h1")).to_have_text("Form")
    press(demo, page, "refuse")
    expect(page.locator(".ls-error")).to_be_visible()


def test_a_lost_change_is_noticed_and_everything_is_sent_again(demo: Studio, page: Any) -> None:
    losing: list[bool] = [False]

    def relay(socket: Any) -> None:
        server = socket.connect_to_server()

        def forward(message: str) -> None:
            if losing[0] and "ticks" in message:
                losing[0] = False
            else:
                socket.send(message)

        server.on_message(forward)

    page.route_web_socket(re.compile("_s/"), relay)
    demo.open(page, "#form/lost")
    by_name(page, "title").fill("typed")
    press(demo, page, "nothing")
    before = demo.revision(page)
    losing[0] = True
    page.wait_for_timeout(2500)
    assert not losing[0] and demo.revision(page) > before
    expect(by_name(page, "title")).to_have_value("typed")


def test_the_navigation_folds_away_on_a_telephone(demo: Studio, page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    demo.open(page, "#form/narrow")
    expect(page.locator('[data-test="nav"]')).to_be_hidden()
    page.locator(".ls-menu summary").click()
    page.locator('.ls-menu [data-test="nav_settings"]').click()
    expect(page.locator("h1")).to_have_text("Settings")
    expect(page.locator(".ls-menu .ls-nav")).to_be_hidden()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
