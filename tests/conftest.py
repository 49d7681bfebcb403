"""Fixtures that every test may use; nothing heavy is imported here."""

from tests.support.browser import chromium, page, studio

__all__ = ["chromium", "page", "studio"]
