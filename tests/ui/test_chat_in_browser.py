"""Talking to a model as a person does: read, ask, watch, stop, compare, reload, clear."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from llm_studio.store import Home, Store
from tests.support.browser import Studio
from tests.support.tuned import make_backbone, make_experiment

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="window.hacked=1">'
LOADING_MILLISECONDS = 60_000
LAYERS = 32  # so many that an answer takes seconds and can be stopped


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with one tuned model."""
    folder = tmp_path_factory.mktemp("chat")
    store = Store.open(Home(folder / "home"))
    make_experiment(
        store, make_backbone(folder / "backbone", context=4096, layers=LAYERS), name=f"orders {HOSTILE}"[:80]
    )
    store.close()
    studio = Studio(folder / "home", port=20301)
    yield studio
    left = studio.stop()
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"left behind: {left}"


def ask(page: Any, words: str) -> None:
    page.locator('[data-test="chat_prompt"]').fill(words)
    page.locator('[data-test="chat_prompt"]').press("Enter")


def copies(page: Any, count: int) -> None:
    page.locator(".ls-copy").nth(count - 1).wait_for(timeout=LOADING_MILLISECONDS)


def test_a_person_talks_to_a_tuned_model_and_to_its_backbone(talking: Studio, page: Any) -> None:
    talking.open(page, "#chat")
    page.locator('[data-test^="suggest/"]').first.wait_for()
    ask(page, f"Tom orders {HOSTILE} cups.")
    page.locator(".ls-say-user").wait_for()
    assert page.locator('[data-test="chat_prompt"]').input_value() == ""
    page.locator(".ls-say-model").get_by_text("Load").or_(page.locator(".ls-copy")).first.wait_for()
    copies(page, 1)
    assert "tokens per second" in page.locator(".ls-say-foot").first.inner_text()
    first = page.locator(".ls-say-model .ls-say-body").first.inner_text()
    page.reload()
    copies(page, 1)
    assert page.locator(".ls-say-model .ls-say-body").first.inner_text() == first

    page.get_by_text("Compare with before tuning").click()
    page.locator('[data-test="talk_right"]').wait_for()
    ask(page, "Anna wants two lamps.")
    page.locator('[data-test="talk_right"] .ls-say-foot').wait_for(timeout=LOADING_MILLISECONDS)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0

    page.locator('[data-test="ask_clear"]').click()
    page.locator('[data-test="delete"]').click()
    page.locator('[data-test^="suggest/"]').first.wait_for()
    assert page.locator(".ls-say-user").count() == 0
    page.get_by_text("Compare with before tuning").click()
    page.locator('[data-test="talk_right"]').wait_for(state="hidden")


def test_stop_keeps_what_was_said_and_typed_text_stays_while_an_answer_comes(talking: Studio, page: Any) -> None:
    talking.open(page, "#chat")
    page.locator('[data-test="settings"]').click()
    page.locator('[data-test="temperature"]').fill("warm")
    page.locator('[data-test="save_settings"]').click()
    page.get_by_text("Temperature is 'warm'.").wait_for()
    page.locator('[data-test="temperature"]').fill("0")
    page.locator('[data-test="max_tokens"]').fill("4000")
    page.locator('[data-test="save_settings"]').click()
    page.get_by_text("likeliest tokens · at most 4,000 tokens").or_(
        page.get_by_text("at most 4000 tokens")
    ).first.wait_for()
    page.locator(".ms-Panel").wait_for(state="detached")  # it keeps the focus until it has gone
    ask(page, "Say much.")
    page.locator(".ls-caret").first.wait_for(timeout=LOADING_MILLISECONDS)
    page.locator('[data-test="chat_prompt"]').type("and then")
    page.locator('[data-test="stop"]').click()
    page.get_by_text("stopped").first.wait_for()
    assert page.locator('[data-test="chat_prompt"]').input_value() == "and then"
