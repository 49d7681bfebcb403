"""What tests do to the page of the demo application."""

from typing import Any

from tests.support.browser import Studio


def by_name(page: Any, name: str) -> Any:
    return page.locator(f'[data-test="{name}"]')


def press(studio: Studio, page: Any, name: str) -> None:
    studio.act(page, lambda: page.locator(f'button[data-test="{name}"]').click())


def overlay_is_gone(page: Any) -> bool:
    return bool(
        page.evaluate(
            "() => ![...document.querySelectorAll('.ms-Spinner')].some(s => {"
            " const z = getComputedStyle(s.parentElement).zIndex; return Number(z) > 0 })"
        )
    )
