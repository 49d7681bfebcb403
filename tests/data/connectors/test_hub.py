"""The connector for the Hugging Face Hub: the real client against a small Hub on a loopback port."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from llm_studio.data.connectors import SourceFile, fetch
from llm_studio.data.connectors.hub_layout import Layout, choose, layout_of
from llm_studio.errors import Cancelled, UserError
from llm_studio.store import Store
from tests.support.hub import TOKEN, Hub, Repository, running_hub
from tests.support.web import StopsAfter, quiet


def parquet(*rows: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"question": list(rows), "answer": [f"to {row}" for row in rows]}), buffer)
    return buffer.getvalue()


README = b"""---
configs:
- config_name: fr
  data_files: fr/*.csv
- config_name: en
  default: true
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: test
    path: ["data/test-*.parquet"]
---
# Questions
"""
DECLARED = {
    "README.md": README,
    "data/train-00000-of-00002.parquet": parquet("a", "b"),
    "data/train-00001-of-00002.parquet": parquet("c"),
    "data/test-00000-of-00001.parquet": parquet("d"),
    "fr/train.csv": b"question,answer\nx,y\n",
    "load.py": b"raise SystemExit('this is never run')\n",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with some data sets, which the client takes for the real one."""
    sets = {
        "someone/declared": Repository(DECLARED),
        "someone/plain": Repository({"train.jsonl.gz": gzip.compress(b'{"q": "1", "a": "2"}\n'), "README.md": b"# Hi"}),
        "someone/torn": Repository({"train.jsonl.gz": gzip.compress(b'{"q": "1"}\n' * 99)[:-20]}),
        "someone/gated": Repository({"train.csv": b"q,a\n1,2\n"}, gated=True),
        "someone/private": Repository({"train.csv": b"q,a\n1,2\n"}, private=True),
        "someone/script": Repository(
            {"script.py": b"raise SystemExit\n"}, converted={"default/train/0000.parquet": parquet("z")}
        ),
        "someone/code": Repository({"code.py": b"raise SystemExit\n"}),
    }
    with running_hub() as found:
        found.repositories = {f"datasets/{name}": repository for name, repository in sets.items()}
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


def get(store: Store, folder: Path, repository: str, report: Any = quiet, **more: str) -> tuple[SourceFile, ...]:
    return fetch(store, {"kind": "hub", "repository": repository, **more}, folder, report)


def test_the_shards_of_the_declared_default_split_come_in_order(hub: Hub, store: Store, folder: Path) -> None:
    files = get(store, folder, "someone/declared")
    assert [pq.read_table(file.path)["question"].to_pylist() for file in files] == [["a", "b"], ["c"]]
    assert files[0].title == "declared en" and all(file.path.is_relative_to(folder) for file in files)
    assert not any(".py" in asked for asked in hub.asked)


def test_a_config_and_a_split_are_chosen_by_name(hub: Hub, store: Store, folder: Path) -> None:
    (file,) = get(store, folder, "someone/declared", config="fr")
    assert file.path.read_bytes() == DECLARED["fr/train.csv"]
    (file,) = get(store, folder, "someone/declared", config="en", split="test")
    assert pq.read_table(file.path)["question"].to_pylist() == ["d"] and file.title == "declared en test"


@pytest.mark.parametrize(
    ("more", "what", "fix"),
    [({"config": "de"}, "no config 'de'", "fr, en"), ({"split": "dev"}, "no split 'dev'", "train, test"),
     ({"revision": "v9"}, "no revision 'v9'", "branch")],
)  # fmt: skip
def test_a_wrong_name_is_said_with_those_that_there_are(
    more: dict[str, str], what: str, fix: str, hub: Hub, store: Store, folder: Path
) -> None:
    with pytest.raises(UserError, match=what) as caught:
        get(store, folder, "someone/declared", **more)
    assert fix in caught.value.fix and "someone/declared" in caught.value.where


def test_a_packed_file_is_unpacked_and_a_revision_is_kept_to(hub: Hub, store: Store, folder: Path) -> None:
    (file,) = get(store, folder, "someone/plain", revision="main")
    assert (file.name, file.path.read_bytes()) == ("train.jsonl", b'{"q": "1", "a": "2"}\n')
    with pytest.raises(UserError, match="damaged gzip file"):
        get(store, folder, "someone/torn")


def test_a_data_set_of_a_script_comes_from_the_copy_of_the_hub_else_is_refused(
    hub: Hub, store: Store, folder: Path
) -> None:
    (file,) = get(store, folder, "someone/script")
    assert pq.read_table(file.path)["question"].to_pylist() == ["z"]
    with pytest.raises(UserError, match="a script that loads it is not run"):
        get(store, folder, "someone/code")


def test_gated_private_and_unknown_data_sets_are_told_apart(hub: Hub, store: Store, folder: Path) -> None:
    with pytest.raises(UserError, match="is gated") as gated:
        get(store, folder, "someone/gated")
    assert "token" in gated.value.fix and "/datasets/someone/gated" in gated.value.fix
    for name in ("someone/private", "someone/none"):
        with pytest.raises(UserError, match="The Hub has no data set") as unknown:
            get(store, folder, name)
        assert "If it is private" in unknown.value.fix
    store.secrets.set("huggingface_token", TOKEN)
    for name in ("someone/gated", "someone/private"):
        assert get(store, folder, name)[0].path.read_bytes() == b"q,a\n1,2\n"


def test_a_wrong_token_is_said(hub: Hub, store: Store, folder: Path) -> None:
    store.secrets.set("huggingface_token", "hf_wrong")
    with pytest.raises(UserError, match="token") as caught:
        get(store, folder, "someone/gated")
    assert "hf_wrong" not in str(caught.value)


def test_a_hub_that_is_not_there_is_said(hub: Hub, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        get(store, folder, "someone/plain")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids"):
        get(store, folder, "someone/plain")


def test_a_cancel_in_the_middle_of_a_file_is_followed(hub: Hub, store: Store, folder: Path) -> None:
    hub.repositories["datasets/someone/large"] = Repository({"train.csv": b"q,a\n" + b"1,2\n" * 10_000_000})
    report = StopsAfter(3)
    with pytest.raises(Cancelled):
        get(store, folder, "someone/large", report)
    assert 0 < (report.shares[-1] or 0) < 1
    assert not any(path.name == "train.csv" for path in folder.rglob("*"))


def test_a_cancel_between_the_files_is_followed(hub: Hub, store: Store, folder: Path) -> None:
    with pytest.raises(Cancelled):
        get(store, folder, "someone/declared", StopsAfter(2))
    assert any("train-00000" in asked for asked in hub.asked)
    assert not any("train-00001" in asked for asked in hub.asked)


@pytest.mark.parametrize("name", ["a/b/c", "../x", "https://x/y", "a b", "a/b?x=1"])
def test_a_name_that_is_none_is_refused_without_the_network(name: str, hub: Hub, store: Store, folder: Path) -> None:
    with pytest.raises(UserError, match="is not the name of a data set"):
        get(store, folder, name)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train.csv", "test.csv"], {"default": {"train": ("train.csv",), "test": ("test.csv",)}}),
        (["data/rows.jsonl"], {"default": {"train": ("data/rows.jsonl",)}}),
        (["a.jsonl", "b.jsonl", "info.csv"], {"default": {"train": ("a.jsonl", "b.jsonl")}}),
        (["validation/1.parquet", "training/1.parquet"],
         {"default": {"validation": ("validation/1.parquet",), "train": ("training/1.parquet",)}}),
        (["my-dev.json", "my-train.json", "dataset_infos.json"],
         {"default": {"validation": ("my-dev.json",), "train": ("my-train.json",)}}),
        (["contest.csv"], {"default": {"train": ("contest.csv",)}}),
        ([".hidden.csv", "README.md", "load.py", "state.json"], {}),
    ],
)  # fmt: skip
def test_names_of_files_say_the_splits(files: list[str], expected: dict[str, Any]) -> None:
    assert layout_of(files, "").configs == expected


@pytest.mark.parametrize("readme", ["---\n: : :\n---\n", "---\nconfigs: 3\n---\n", "---\n- a\n---\n", "# none", ""])
def test_a_readme_that_declares_nothing_leaves_it_to_the_names(readme: str) -> None:
    assert layout_of(["train.csv"], readme).configs == {"default": {"train": ("train.csv",)}}


def test_several_to_choose_from_are_listed() -> None:
    layout = Layout({"de": {"train": ("a.csv",)}, "en": {"train": ("b.csv",)}})
    with pytest.raises(UserError, match="2 configs to choose from") as caught:
        choose(layout, "", "", "x")
    assert "de, en" in caught.value.fix
