"""Every page of the studio: it builds, its names are unique, its inputs explain themselves, its cards have a place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.ui import diff, missing, shell, theme
from llm_studio.ui.page import ZONES, Context, Page
from llm_studio.ui.pages import PAGES
from llm_studio.ui.status import Status, StatusReader
from llm_studio.ui.tab import Tab
from tests.support.fake_wave import FakeSite

EXPLAINED = diff.INPUTS - {"table", "time_picker"}  # these two cannot carry a tooltip, or need none


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.create()
    return Store.open(home)


def context(store: Store, page: Page, *args: str) -> Context:
    return Context(store=store, home=store.home, route=page.route, args=args)


def built(store: Store, page: Page) -> list[Any]:
    """The cards of a page in an empty studio; a page that needs a thing says so with a UserError."""
    try:
        return list(page.cards(page.load(context(store, page), ())))
    except UserError as error:
        assert error.what and error.fix, f"{page.route}: an error without a way out"
        return []


def zones(layout: Any) -> set[str]:
    return {
        *(zone.name for zone in layout.zones), *(name for zone in layout.zones if zone.zones for name in zones(zone))
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_a_page_in_an_empty_studio_has_unique_names_and_a_place_for_every_card(store: Store, page: Page) -> None:
    cards = built(store, page)
    names = [card.name for card in cards]
    assert len(names) == len(set(names)) and not set(names) & shell.RESERVED
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:-]*", name) for name in names), names
    for card in cards:
        assert card.zone in ZONES
        assert all(card.zone in zones(layout) for layout in theme.layouts())
    components = [pair for card in cards for pair in diff.components(card.item.dump())]
    named = [properties["name"] for _, properties in components if properties.get("name")]
    assert len(named) == len(set(named)), sorted(name for name in named if named.count(name) > 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_every_input_of_a_page_has_a_name_a_label_and_a_tooltip(store: Store, page: Page) -> None:
    for card in built(store, page):
        for kind, properties in diff.components(card.item.dump()):
            if kind in EXPLAINED:
                assert properties.get("name") and properties.get("tooltip"), f"{kind} {properties.get('name')}"
                words = str(properties["tooltip"])
                assert words.endswith((".", "?")) and words.strip() != properties.get("label"), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_the_same_data_makes_the_same_cards(store: Store, page: Page) -> None:
    try:
        data = page.load(context(store, page), ())
    except UserError:
        return
    first, second = ({card.name: card.item.dump() for card in page.cards(data)} for _ in range(2))
    assert not diff.changes(first, second)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_every_button_of_a_page_leads_somewhere(store: Store, page: Page) -> None:
    for card in built(store, page):
        for kind, properties in diff.components(card.item.dump()):
            if kind == "button" and not properties["name"].startswith("#"):
                action = properties["name"].partition("/")[0]
                assert action in page.actions or action == "close", f"{page.route}: {properties['name']}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.route)
def test_something_that_is_not_there_is_said_and_never_a_fault(store: Store, page: Page) -> None:
    for args in (("0123456789",), ("no such",), ("../../etc/passwd",), ("0123456789", "nothing"), ("a,b",)):
        try:
            list(page.cards(page.load(context(store, page, *args), args)))
        except UserError as error:
            assert error.what


def test_every_section_of_the_navigation_has_pages() -> None:
    sections = {name for name, _, _ in shell.SECTIONS}
    assert {page.section for page in PAGES} == sections
    assert {address.removeprefix("#") for _, _, address in shell.SECTIONS} <= {page.route for page in PAGES}


def test_pages_have_a_title_and_one_route_each() -> None:
    assert len({page.route for page in PAGES}) == len(PAGES)
    assert all(page.title and page.title[0].isupper() for page in PAGES)


def test_the_frame_marks_the_section_and_says_what_runs(store: Store) -> None:
    status = Status(running=1, queued=2, device="CPU", load_percent=42, memory_total_bytes=10, memory_used_bytes=5)
    frame = shell.cards(section="chat", crumbs=(), status=status, chosen_theme="dark", notice=None, error=None)
    dumped = json.dumps({name: item.dump() for name, (_, item) in frame.items()})
    assert dumped.count('aria-current=\\"page\\" data-test=\\"nav_chat\\"') == 2
    assert "1 running, 2 queued" in dumped and "42 %" in dumped and 'data-studio-theme=\\"dark\\"' in dumped


def test_the_indicator_counts_and_measures(store: Store) -> None:
    reader = StatusReader(store)
    status = reader.read()
    assert status.running == status.queued == 0 and status.memory_total_bytes > status.memory_used_bytes > 0
    assert status.disk_total_bytes > status.disk_free_bytes and 0 <= status.load_percent <= 100
    assert reader.read() is status  # not measured again within a second


def test_a_tab_renders_every_page_onto_a_wave_page(store: Store) -> None:
    for page in (*PAGES, missing.PAGE):
        wave_page = FakeSite()["/tab"]
        cards = built(store, page)
        Tab().render(wave_page, cards, {})
        assert (wave_page._diff() is not None) == bool(cards)
