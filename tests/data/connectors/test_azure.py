"""The connector for Azure Blob Storage: the real client against Azurite over HTTP."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from llm_studio.data.connectors import SourceFile, check, fetch
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.web import StopsAfter, end, quiet

ROOT = Path(__file__).resolve().parents[3]
AZURITE = ROOT / ".venv" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
NEEDS = "Azurite is not installed: run tests/end_to_end/install_servers.sh (needs node and npm)"
ACCOUNT, KEY, WRONG_KEY = "tester", "c3R1ZGlvLXRlc3Qta2V5", "d3JvbmctdGVzdC1rZXk="


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the account in a running Azurite, with some blobs."""
    if not AZURITE.is_file():
        pytest.skip(NEEDS)
    patch = pytest.MonkeyPatch()
    patch.setenv("AZURITE_ACCOUNTS", f"{ACCOUNT}:{KEY}")
    options = ["--blobPort", "0", "--blobHost", "127.0.0.1", "--location", str(tmp_path_factory.mktemp("azurite"))]
    process = subprocess.Popen(
        [AZURITE, *options, "--skipApiVersionCheck"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    patch.undo()
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if match := re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail(f"Azurite did not start: {said}")
        address = f"http://127.0.0.1:{match[1]}/{ACCOUNT}"
        with BlobServiceClient.from_connection_string(connection(address, KEY)) as client:
            for name, public in (("sets", None), ("open-sets", "blob")):
                client.create_container(name, public_access=public)
                client.get_blob_client(name, "a b/rows.csv").upload_blob(b"question,answer\n1,2\n")
            client.get_blob_client("sets", "large.csv").upload_blob(b"1,2\n" * 10_000_000)
        yield address
    finally:
        end(process)


def connection(address: str, key: str) -> str:
    """A connection string."""
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={address};"


def get(
    store: Store, folder: Path, blob: str = "a b/rows.csv", container: str = "sets", report: Any = quiet
) -> tuple[SourceFile, ...]:
    return fetch(store, {"kind": "azure", "container": container, "blob": blob}, folder, report)


def test_fetches_a_blob_with_a_connection_string(azure: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", connection(azure, KEY))
    (file,) = get(store, folder)
    assert (file.name, file.path.read_bytes()) == ("rows.csv", b"question,answer\n1,2\n")


def test_a_wrong_key_is_said_and_not_shown(azure: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", connection(azure, WRONG_KEY))
    with pytest.raises(UserError, match="refuses the credentials") as caught:
        get(store, folder)
    assert WRONG_KEY not in str(caught.value) and caught.value.where == "azure:sets/a b/rows.csv"


@pytest.mark.parametrize("text", ["nonsense", "AccountName=x;AccountKey=not base64;BlobEndpoint=http://127.0.0.1:9/x;"])
def test_a_connection_string_that_is_none_is_said(text: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", text)
    with pytest.raises(UserError, match="not well formed"):
        get(store, folder)


def test_without_credentials_only_public_blobs_are_read(azure: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", f"BlobEndpoint={azure};SharedAccessSignature=sv=2024")
    with pytest.raises(UserError, match="refuses the credentials"):
        get(store, folder)
    with pytest.raises(UserError, match="No account is given"):
        check(store_without(store), {"kind": "azure", "container": "sets", "blob": "a.csv"})


def store_without(store: Store) -> Store:
    """The store with no secrets of Azure."""
    store.secrets.delete("azure_connection_string")
    return store


def test_a_missing_container_and_a_missing_blob_are_told_apart(azure: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", connection(azure, KEY))
    with pytest.raises(UserError, match="There is no container no-such"):
        get(store, folder, container="no-such")
    with pytest.raises(UserError, match=r"The container sets has no blob none\.csv"):
        get(store, folder, "none.csv")


def test_an_account_that_is_not_there_is_said(store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", connection("http://127.0.0.1:9/x", KEY))
    with pytest.raises(UserError, match="cannot be reached"):
        get(store, folder)


def test_a_cancel_in_the_middle_leaves_nothing(azure: str, store: Store, folder: Path) -> None:
    store.secrets.set("azure_connection_string", connection(azure, KEY))
    report = StopsAfter(3)
    with pytest.raises(Cancelled):
        get(store, folder, "large.csv", report=report)
    assert 0 < (report.shares[-1] or 0) < 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [({"container": "Big Name"}, "not the name of a container"), ({}, "No account is given"),
     ({"account": "https://x"}, "not the name of a storage account")],
)  # fmt: skip
def test_the_form_is_checked_without_the_network(more: dict[str, str], words: str, store: Store) -> None:
    with pytest.raises(UserError, match=words):
        check(store, {"kind": "azure", "container": "sets", "blob": "a.csv", **more})
