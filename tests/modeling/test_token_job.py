"""The data job that counts token lengths and shows rows: with the tokenizer alone, for every row that is asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.data import open_dataset
from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.tokens.lengths import load_lengths
from llm_studio.worker.data_jobs import function_of
from tests.support.tuned import CONTEXT, make_backbone

ROWS = 30


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone whose weights cannot be loaded: their file ends behind its header."""
    folder = make_backbone(tmp_path_factory.mktemp("backbone"))
    weights = folder / "model.safetensors"
    header = int.from_bytes(weights.read_bytes()[:8], "little")
    weights.write_bytes(weights.read_bytes()[: 8 + header])
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    rows = [
        {"messages": [{"role": "user", "content": f"What is {row}?"}] * (1 + (row == 5))
         + [{"role": "assistant", "content": "It is. " * (row + 1)}]}
        for row in range(ROWS)
    ]  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_dataset(opened, {"kind": "local", "path": str(file)}, name="rows")
    yield opened
    opened.close()


def done(store: Store, backbone: Path | str, **params: Any) -> dict[str, Any]:
    job = store.jobs.create(
        "dataset_tokens", {"dataset_id": store.datasets.list()[0].id, "backbone": str(backbone), **params}
    )
    return function_of("dataset_tokens")(store.home, store, job, lambda share, words: None)


def test_counts_lengths_and_shows_a_page_of_rows_without_loading_weights(store: Store, backbone: Path) -> None:
    result = done(store, backbone, rows=list(range(20)), settings={"tokenizer.max_length": 64})
    lengths = load_lengths(Path(result["lengths"]))
    assert lengths is not None and len(lengths) == ROWS
    views = json.loads(Path(result["views"]).read_text(encoding="utf-8"))
    assert [view["row"] for view in views] == list(range(20))
    totals = dict(zip(lengths.row.tolist(), lengths.total.tolist(), strict=True))
    assert [view["total_tokens"] for view in views] == [totals[row] for row in range(20)]
    assert (result["template"], result["max_length"]) == ("backbone", 64)
    assert json.loads(json.dumps(result)) == result


def test_a_second_page_of_rows_needs_no_new_count(store: Store, backbone: Path) -> None:
    first = done(store, backbone)
    assert first["views"] is None and first["max_length"] == CONTEXT
    written = Path(first["lengths"]).stat().st_mtime_ns
    again = done(store, backbone, rows=[7, 3, 7])
    assert again["lengths"] == first["lengths"]
    assert Path(again["lengths"]).stat().st_mtime_ns == written
    assert [view["row"] for view in json.loads(Path(again["views"]).read_text(encoding="utf-8"))] == [3, 7]


def test_held_out_rows_are_shown_too(store: Store, backbone: Path) -> None:
    held_out = open_dataset(store.home.dataset(store.datasets.list()[0].id)).split.validation.tolist()
    result = done(store, backbone, rows=held_out, part="validation", lengths=False)
    assert result["lengths"] is None
    assert [view["row"] for view in json.loads(Path(result["views"]).read_text(encoding="utf-8"))] == held_out


def test_a_row_that_the_template_refuses_is_shown_with_its_error_beside_the_others(
    store: Store, backbone: Path
) -> None:
    settings = {"dataset.chat_template": "gemma"}
    result = done(store, backbone, rows=[4, 5], settings=settings, lengths=False)
    fine, refused = json.loads(Path(result["views"]).read_text(encoding="utf-8"))
    assert fine["outcome"] == "whole"
    assert (refused["row"], refused["error"]["where"]) == (5, "row 6 of the data set")
    assert "dataset.merge_turns" in refused["error"]["fix"]
    with pytest.raises(UserError, match="refuses"):
        done(store, backbone, settings=settings)


@pytest.mark.parametrize(
    ("params", "words"),
    [({"rows": [0, 99]}, "no row 100"), ({"rows": list(range(101))}, "101 rows"), ({"rows": [-1]}, "no row 0")],
    ids=["beyond", "too many", "negative"],
)
def test_rows_that_cannot_be_shown_are_refused_in_words(
    store: Store, backbone: Path, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        done(store, backbone, lengths=False, **params)
    assert words in caught.value.what and caught.value.fix


def test_a_backbone_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        done(store, tmp_path / "gone")
    assert "gone" in caught.value.what
