"""What a person does on any page, for the end-to-end tests."""

from typing import Any

from tests.support.browser import Studio


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True).first


def part(page: Any, name: str) -> Any:
    """The component of this name."""
    return page.locator(f'[data-test="{name}"]').first


def choose(page: Any, studio: Studio, name: str, option: str) -> None:
    part(page, name).click()
    studio.act(page, page.get_by_role("option", name=option, exact=True).click)
