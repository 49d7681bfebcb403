"""A data set for the pages, and the demo application in a browser."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Studio

if TYPE_CHECKING:
    from llm_studio.store import DatasetRecord, Store


@pytest.fixture
def orders(store: "Store") -> "DatasetRecord":
    """The first sample data set."""
    from llm_studio.actions.datasets import import_dataset

    return import_dataset(store, {"kind": "starter", "name": "orders_to_json"})


@pytest.fixture(scope="module")
def demo(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    one = Studio(tmp_path_factory.mktemp("demo") / "home", app="tests.support.demo:create", port=20301)
    yield one
    assert not one.stop()
