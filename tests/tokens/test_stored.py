"""Tokenised rows on disk: the same samples, shared when everything is the same, made again when anything differs."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from llm_studio.actions.datasets import import_dataset
from llm_studio.config import make_config
from llm_studio.data import open_dataset
from llm_studio.data.dataset import Dataset
from llm_studio.errors import Cancelled
from llm_studio.starter import BACKBONE
from llm_studio.store import Home, Store
from llm_studio.tokens.fingerprints import rendering_fingerprint, samples_fingerprint
from llm_studio.tokens.making import make_template
from llm_studio.tokens.stored import StoredSamples, tokenise
from llm_studio.tokens.template import Template
from llm_studio.tokens.truncation import counted


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder / "home")
    home.create()
    store = Store.open(home)
    rows = [{"prompt": f"What is {row}? " + "word " * (row % 9 * 9), "answer": f"It is {row} 😀."} for row in range(60)]
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    record = import_dataset(store, {"kind": "local", "path": str(file)}, name="rows")
    yield open_dataset(home.dataset(record.id))
    store.close()


def made(**changes: Any) -> Template:
    config = make_config({"tokenizer.max_length": 64, **changes})
    return make_template(AutoTokenizer.from_pretrained(str(BACKBONE)), config)


def silent(done: int, total: int) -> None:
    """Hears nothing."""


CUT_RIGHT = {"tokenizer.truncation": "cut", "tokenizer.truncation_side": "right"}


@pytest.mark.parametrize("changes", [{}, CUT_RIGHT, {"dataset.mask_prompt_labels": False}], ids=str)
def test_gives_the_samples_of_the_template_row_by_row(
    dataset: Dataset, tmp_path: Path, changes: dict[str, Any]
) -> None:
    template = made(**changes)
    plain = [template.encode(one) for part in ("train", "validation") for one in dataset.conversations(part)]
    stored = tokenise(tmp_path, template, dataset, ("train", "validation"), silent).samples
    assert list(stored) == plain
    assert stored[-1] == plain[-1]
    assert list(stored[3:7]) == plain[3:7]
    assert list(stored.learned()) == [one for one in plain if one.learned_tokens]
    tokens, learned = stored.learned().lengths()
    assert tokens.tolist() == [len(one.input_ids) for one in plain if one.learned_tokens]
    assert learned.tolist() == [one.learned_tokens for one in plain if one.learned_tokens]
    assert stored.highest_id == max(max(one.input_ids, default=-1) for one in plain)
    assert stored.counts() == counted((one.row, one.outcome, len(one.input_ids), one.learned_tokens) for one in plain)
    assert list(pickle.loads(pickle.dumps(stored.learned()))) == list(stored.learned())  # noqa: S301 - our own, just made


def test_the_second_time_nothing_is_tokenised(dataset: Dataset, tmp_path: Path) -> None:
    first = tokenise(tmp_path, made(), dataset, ("train",), silent)
    again = tokenise(tmp_path, made(), dataset, ("train",), silent)
    assert (first.known, again.known) == (False, True)
    assert list(first.samples) == list(again.samples)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["rows.arrow"]


DIFFERENT: list[dict[str, Any]] = [
    {"tokenizer.max_length": 96},
    {"tokenizer.truncation": "drop"},
    CUT_RIGHT,
    {"dataset.chat_template": "markers"},
    {"dataset.chat_template": "chatml"},
    {"dataset.only_last_answer": True},
    {"dataset.mask_prompt_labels": False},
    {"dataset.fold_system": True},
    {"dataset.merge_turns": True},
]


@pytest.mark.parametrize("changes", DIFFERENT, ids=lambda changes: next(iter(changes)))
def test_whatever_changes_tokens_or_labels_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert samples_fingerprint(made(**changes), "data", ("train",)) != samples_fingerprint(made(), "data", ("train",))


def test_data_parts_and_tokenizer_change_the_fingerprint_and_what_does_not_matter_leaves_it() -> None:
    one = samples_fingerprint(made(), "data", ("train",))
    assert one == samples_fingerprint(made(**{"training.epochs": 7}), "data", ("train",))
    other = made()
    other.tokenizer.add_tokens(["wordword"])
    found = {
        one,
        samples_fingerprint(made(), "other data", ("train",)),
        samples_fingerprint(made(), "data", ("validation",)),
        samples_fingerprint(made().for_scoring(), "data", ("train",)),
        samples_fingerprint(other, "data", ("train",)),
    }
    assert len(found) == 5


def test_the_length_limit_does_not_count_for_what_is_rendered() -> None:
    longer = made(**{"tokenizer.max_length": 96})
    assert rendering_fingerprint(longer, "data", ("train",)) == rendering_fingerprint(made(), "data", ("train",))


def test_a_template_that_writes_the_date_is_not_shared_between_days() -> None:
    template = made()
    template.tokenizer.chat_template = "{{ strftime_now('%d') }}" + template.tokenizer.chat_template
    today = rendering_fingerprint(template, "data", ("train",), day="2030-01-01")
    assert today != rendering_fingerprint(template, "data", ("train",), day="2030-01-02")
    plain = rendering_fingerprint(made(), "data", ("train",), day="2030-01-01")
    assert plain == rendering_fingerprint(made(), "data", ("train",), day="2030-01-02")


@pytest.mark.parametrize("damage", ["cut", "empty", "of other rows"])
def test_a_damaged_file_is_made_again(dataset: Dataset, tmp_path: Path, damage: str) -> None:
    path = tokenise(tmp_path, made(), dataset, ("train",), silent).samples.path
    whole = path.read_bytes()
    if damage == "of other rows":
        other = tokenise(tmp_path, made(), dataset, ("validation",), silent).samples.path
        whole = other.read_bytes()
    path.unlink()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "of other rows": whole}[damage])
    again = tokenise(tmp_path, made(), dataset, ("train",), silent)
    assert not again.known
    assert len(again.samples) == len(dataset.split.train)


def test_a_stop_leaves_nothing_half_made(dataset: Dataset, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == len(dataset.split.train)
        raise Cancelled

    with pytest.raises(Cancelled):
        tokenise(tmp_path, made(), dataset, ("train",), stop)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_rows_stay_readable_when_the_cache_is_emptied_meanwhile(dataset: Dataset, tmp_path: Path) -> None:
    stored: StoredSamples = tokenise(tmp_path, made(), dataset, ("train",), silent).samples
    before = list(stored)
    stored.path.unlink()
    assert list(stored) == before
