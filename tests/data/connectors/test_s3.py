"""The connector for S3 against moto's server over HTTP, which checks keys and signatures."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_studio.data.connectors import SourceFile, check, fetch
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.web import Answer, Site, StopsAfter, end, quiet, reply

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv" / "moto" / "bin" / "python"
NEEDS = "moto is not installed: run tests/end_to_end/install_servers.sh"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Address and keys of a running S3."""
    if not PYTHON.is_file():
        pytest.skip(NEEDS)
    script = ROOT / "tests" / "support" / "s3_server.py"
    process = subprocess.Popen(
        [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.skip(NEEDS)
        yield json.loads(line)
    finally:
        end(process)


def get(
    store: Store, folder: Path, s3: dict[str, Any], key: str = "a b/rows.csv", report: Any = quiet, **more: str
) -> tuple[SourceFile, ...]:
    source = {"kind": "s3", "bucket": "sets", "key": key, "endpoint": s3["address"], "region": "us-east-1", **more}
    return fetch(store, source, folder, report)


def use(store: Store, access_key: str, secret_key: str) -> None:
    store.secrets.set("s3_access_key", access_key)
    store.secrets.set("s3_secret_key", secret_key)


def test_fetches_a_file_with_the_keys_that_are_saved(s3: dict[str, Any], store: Store, folder: Path) -> None:
    use(store, *s3["reader"])
    (file,) = get(store, folder, s3)
    assert (file.name, file.path) == ("rows.csv", folder / "rows.csv")
    assert file.path.read_bytes() == b"question,answer\n1,2\n"


def test_without_saved_keys_those_of_the_environment_are_used(
    s3: dict[str, Any], store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3["reader"][0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["reader"][1])
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["address"])
    (file,) = get(store, folder, s3, endpoint="")
    assert file.path.is_file()


def test_no_credentials_are_said(s3: dict[str, Any], store: Store, folder: Path) -> None:
    with pytest.raises(UserError, match="without credentials") as caught:
        get(store, folder, s3)
    assert "access key" in caught.value.fix and caught.value.where == "s3://sets/a b/rows.csv"


def test_wrong_keys_are_told_apart_and_not_shown(s3: dict[str, Any], store: Store, folder: Path) -> None:
    use(store, "AKIAUNKNOWN", "wr0ngsecret")
    with pytest.raises(UserError, match="does not know the access key") as caught:
        get(store, folder, s3)
    assert "wr0ngsecret" not in str(caught.value)
    use(store, s3["reader"][0], "wr0ngsecret")
    with pytest.raises(UserError, match="does not belong to the access key") as caught:
        get(store, folder, s3)
    assert "wr0ngsecret" not in str(caught.value)
    use(store, *s3["nobody"])
    with pytest.raises(UserError, match="refuses the file to this access key"):
        get(store, folder, s3)
    assert list(folder.iterdir()) == []


def test_a_missing_bucket_and_a_missing_key_are_told_apart(s3: dict[str, Any], store: Store, folder: Path) -> None:
    use(store, *s3["reader"])
    with pytest.raises(UserError, match="There is no bucket no-such-bucket"):
        get(store, folder, s3, bucket="no-such-bucket")
    for key in ("a b/none.csv", "none.csv", "no/folder/none.csv"):
        with pytest.raises(UserError, match=f"The bucket sets has no file {key}"):
            get(store, folder, s3, key)


def test_a_store_that_is_not_there_is_said(s3: dict[str, Any], store: Store, folder: Path) -> None:
    use(store, *s3["reader"])
    with pytest.raises(UserError, match="cannot be reached"):
        get(store, folder, s3, endpoint="http://127.0.0.1:9")


def test_a_bucket_in_another_region_is_said(serve: Callable[[Answer], Site], store: Store, folder: Path) -> None:
    site = serve(lambda h: reply(h, b"", 301, x_amz_bucket_region="eu-west-3"))
    use(store, "AKIA", "x")
    with pytest.raises(UserError, match="is in another region"):
        get(store, folder, {"address": f"http://127.0.0.1:{site.port}"})


def test_a_cancel_in_the_middle_leaves_nothing(s3: dict[str, Any], store: Store, folder: Path) -> None:
    use(store, *s3["reader"])
    report = StopsAfter(4)
    with pytest.raises(Cancelled):
        get(store, folder, s3, "large.csv", report)
    assert 0 < (report.shares[-1] or 0) < 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [({"bucket": "s3://sets"}, "not the name of a bucket"), ({"endpoint": "minio.local"}, "not the address of a store"),
     ({"endpoint": "http://me:pw@host"}, "not the address")],
)  # fmt: skip
def test_the_form_is_checked_without_the_network(more: dict[str, str], words: str, store: Store) -> None:
    with pytest.raises(UserError, match=words):
        check(store, {"kind": "s3", "bucket": "sets", "key": "a.csv", **more})


def test_half_a_pair_of_keys_is_said(store: Store) -> None:
    store.secrets.set("s3_access_key", "AKIA")
    with pytest.raises(UserError, match="The secret key is missing"):
        check(store, {"kind": "s3", "bucket": "sets", "key": "a.csv"})
