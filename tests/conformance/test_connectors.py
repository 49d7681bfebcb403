"""What every connector of the catalog promises."""

import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_studio.actions.datasets import cancel_import, start_import
from llm_studio.catalog.connectors import CONNECTORS, Connector
from llm_studio.data.connectors import address, find_file, refuse_missing
from llm_studio.data.connectors.form import forget_keys, remembered, saved, take_form
from llm_studio.errors import UserError
from llm_studio.starter import SAMPLES
from llm_studio.store import Home, Store

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cr3t-that-nobody-may-see"


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
FORMS: dict[str, dict[str, object]] = {
    "hub": {"repository": "owner/name", "revision": "v1", "config": "en", "split": "test", "token": SECRET},
    "https": {"url": f"https://example.org/rows.csv?signature={SECRET}", "limit_gb": "3"},
    "s3": {"bucket": "sets", "key": "a/rows.csv", "access_key": SECRET, "secret_key": SECRET},
    "azure": {"container": "sets", "blob": "a/rows.csv", "account": "someone", "key": SECRET},
    "kaggle": {"dataset": "owner/name", "file": "rows.csv", "username": "me", "key": SECRET},
}
ADDRESSES = {
    "hub": "hub:owner/name@v1/en:test",
    "https": "https://example.org/rows.csv",
    "s3": "s3://sets/a/rows.csv",
    "azure": "azure:sets/a/rows.csv",
    "kaggle": "kaggle:owner/name/rows.csv",
}
HERE = [entry for entry in CONNECTORS if not entry.fetches]
AWAY = [entry for entry in CONNECTORS if entry.fetches]


@pytest.mark.parametrize("connector", HERE, ids=lambda one: one.name)
def test_gives_a_file_that_is_there_with_the_name_the_user_knows(connector: Connector, store: Store) -> None:
    found = find_file(store, GOOD[connector.name](store))
    assert found.path.is_file() and found.path.is_absolute()
    assert found.name and "/" not in found.name
    assert found.ours == (connector.name == "upload")


@pytest.mark.parametrize("connector", HERE, ids=lambda one: one.name)
def test_refuses_what_it_may_not_read_with_what_where_and_fix(connector: Connector, store: Store) -> None:
    with pytest.raises(UserError) as caught:
        find_file(store, BAD[connector.name])
    assert caught.value.what and caught.value.where and caught.value.fix


@pytest.mark.parametrize("connector", AWAY, ids=lambda one: one.name)
def test_a_filled_form_makes_a_job_that_holds_no_secret(connector: Connector, store: Store) -> None:
    source = take_form(store, connector.name, FORMS[connector.name])
    job = start_import(store, source)
    stored = b"".join(path.read_bytes() for path in store.home.path.glob("*.db*"))
    assert SECRET not in json.dumps(job.params) and SECRET.encode() not in stored
    assert SECRET not in address(source) and address(source) == ADDRESSES[connector.name]
    kept = {field.secret for field in connector.fields if field.secret and FORMS[connector.name].get(field.name)}
    assert all(store.secrets.get(name) == SECRET for name in kept)
    assert set(saved(store, connector)) == kept


@pytest.mark.parametrize("connector", AWAY, ids=lambda one: one.name)
def test_an_empty_form_says_which_field_and_makes_no_job(connector: Connector, store: Store) -> None:
    with pytest.raises(UserError, match="is empty") as caught:
        start_import(store, take_form(store, connector.name, {}))
    assert connector.title in caught.value.where and caught.value.fix
    assert store.jobs.list() == []


@pytest.mark.parametrize("connector", AWAY, ids=lambda one: one.name)
def test_each_field_has_a_label_and_a_tooltip_and_some_are_required(connector: Connector) -> None:
    names = [field.name for field in connector.fields]
    assert len(set(names)) == len(names) and any(field.required for field in connector.fields)
    assert all(field.label and field.tooltip.endswith(".") for field in connector.fields)
    assert not any(field.secret and (field.remembered or field.required) for field in connector.fields)


def test_a_saved_secret_stays_until_it_is_replaced_or_forgotten(store: Store) -> None:
    connector = next(entry for entry in CONNECTORS if entry.name == "s3")
    take_form(store, "s3", {"access_key": "a", "secret_key": "b", "region": "eu-central-1"})
    take_form(store, "s3", {"access_key": "", "secret_key": "c", "region": "eu-central-1"})
    assert (store.secrets.get("s3_access_key"), store.secrets.get("s3_secret_key")) == ("a", "c")
    assert remembered(store, connector)["region"] == "eu-central-1"
    forget_keys(store, connector)
    assert saved(store, connector) == {}


def test_what_may_be_secret_in_a_web_address_is_forgotten_with_its_import(store: Store) -> None:
    job = start_import(store, take_form(store, "https", FORMS["https"]))
    name = str(job.params["source"]["query_secret"])
    assert store.secrets.get(name) == f"signature={SECRET}"
    cancel_import(store, job.id)
    assert store.secrets.get(name) is None


def test_what_a_killed_import_left_is_forgotten_with_the_next_one(store: Store) -> None:
    names = []
    for _ in range(3):
        job = start_import(store, take_form(store, "https", FORMS["https"]))
        names.append(str(job.params["source"]["query_secret"]))
        if len(names) == 1:
            store.jobs.finish(job.id, "cancelled")  # as the supervisor does after SIGKILL
    assert [store.secrets.get(name) is not None for name in names] == [False, True, True]


def test_a_package_that_is_not_installed_is_said_with_the_command_that_installs_it() -> None:
    azure = next(entry for entry in CONNECTORS if entry.name == "azure")
    refuse_missing(azure)
    for library in ("no_such_package", "no_such_package.storage"):
        with pytest.raises(UserError, match="azure-storage-blob, which is not installed") as caught:
            refuse_missing(replace(azure, requires=library))
        assert f"{sys.executable} -m pip install azure-storage-blob" in caught.value.fix


def test_every_package_of_a_connector_is_an_extra_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for entry in CONNECTORS:
        if entry.package:
            assert any(line.startswith(f"{entry.package}>=") for line in extras[entry.name])


def test_an_unknown_connector_is_named_with_those_that_there_are(store: Store) -> None:
    with pytest.raises(UserError, match="There is no source 'fax'") as caught:
        find_file(store, {"kind": "fax"})
    assert "upload" in caught.value.fix


def test_every_connector_has_words_for_the_user() -> None:
    assert all(entry.title and entry.help.endswith(".") for entry in CONNECTORS)
    assert set(GOOD) == set(BAD) == {entry.name for entry in HERE}
    assert set(FORMS) == set(ADDRESSES) == {entry.name for entry in AWAY}
