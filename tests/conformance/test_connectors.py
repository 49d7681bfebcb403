"""What every connector of the catalog promises."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_studio.catalog.connectors import CONNECTORS, Connector
from llm_studio.data.connectors import find_file
from llm_studio.errors import UserError
from llm_studio.starter import SAMPLES
from llm_studio.store import Home, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a new home."""
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    yield opened
    opened.close()


def uploaded(store: Store) -> dict[str, object]:
    path = store.home.uploads / "abc.csv"
    path.write_text("q,a\n1,2\n")
    return {"kind": "upload", "path": str(path), "name": "my file.csv"}


def allowed(store: Store) -> dict[str, object]:
    folder = store.home.path / "data"
    folder.mkdir()
    (folder / "my file.csv").write_text("q,a\n1,2\n")
    store.preferences.set("allowed_folders", [str(folder)])
    return {"kind": "local", "path": str(folder / "my file.csv")}


def bundled(store: Store) -> dict[str, object]:
    return {"kind": "starter", "name": SAMPLES[0].name}


GOOD: dict[str, Callable[[Store], dict[str, object]]] = {"upload": uploaded, "local": allowed, "starter": bundled}
BAD: dict[str, dict[str, object]] = {
    "upload": {"kind": "upload", "path": "/etc/hostname", "name": "x.csv"},
    "local": {"kind": "local", "path": "/etc/hostname"},
    "starter": {"kind": "starter", "name": "../../x"},
}


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda one: one.name)
def test_gives_a_file_that_is_there_with_the_name_the_user_knows(connector: Connector, store: Store) -> None:
    found = find_file(store, GOOD[connector.name](store))
    assert found.path.is_file() and found.path.is_absolute()
    assert found.name and "/" not in found.name
    assert found.ours == (connector.name == "upload")


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda one: one.name)
def test_refuses_what_it_may_not_read_with_what_where_and_fix(connector: Connector, store: Store) -> None:
    with pytest.raises(UserError) as caught:
        find_file(store, BAD[connector.name])
    assert caught.value.what and caught.value.where and caught.value.fix


def test_an_unknown_connector_is_named_with_those_that_there_are(store: Store) -> None:
    with pytest.raises(UserError, match="There is no source 'fax'") as caught:
        find_file(store, {"kind": "fax"})
    assert "upload" in caught.value.fix


def test_every_connector_has_words_for_the_user() -> None:
    assert all(entry.title and entry.help.endswith(".") for entry in CONNECTORS)
    assert set(GOOD) == set(BAD) == {entry.name for entry in CONNECTORS}
