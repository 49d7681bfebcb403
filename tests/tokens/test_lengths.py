"""Token lengths: counted as the training counts, and what a limit would do is what it does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from llm_studio.actions.datasets import import_dataset
from llm_studio.config import make_config
from llm_studio.data import open_dataset
from llm_studio.data.dataset import Dataset
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled
from llm_studio.starter import BACKBONE
from llm_studio.store import Home, Store
from llm_studio.tokens.lengths import TokenLengths, lengths_path, load_lengths, measure, token_lengths, truncation_curve
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX
from llm_studio.tokens.template import Template


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Threads of one to four turns with prompts and answers of all lengths."""
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder / "home")
    home.create()
    store = Store.open(home)
    rows = []
    for row in range(80):
        messages = [{"role": "system", "content": "Be brief."}] if row % 3 == 0 else []
        for turn in range(row % 4 + 1):
            messages.append({"role": "user", "content": f"Question {row}? " + "why " * (row * 7 % 31)})
            messages.append({"role": "assistant", "content": f"Answer {turn}. " + "so " * (row * 5 % 37)})
        rows.append({"messages": messages})
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    record = import_dataset(store, {"kind": "local", "path": str(file)}, name="rows")
    yield open_dataset(home.dataset(record.id))
    store.close()


def made(**changes: Any) -> Template:
    return make_template(AutoTokenizer.from_pretrained(str(BACKBONE)), make_config(changes))


def rows_of(dataset: Dataset) -> list[Conversation]:
    return [*dataset.conversations("train"), *dataset.conversations("validation")]


@pytest.fixture(scope="module")
def lengths(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TokenLengths:
    return token_lengths(tmp_path_factory.mktemp("cache"), made(), dataset)


def test_every_length_is_that_of_the_samples(dataset: Dataset, lengths: TokenLengths) -> None:
    template = made(**{"tokenizer.max_length": 131072})
    for place, row in enumerate(rows_of(dataset)):
        sample = template.encode(row)
        learned = [index for index, label in enumerate(sample.labels) if label != IGNORE_INDEX]
        assert lengths.row[place] == row.row
        assert lengths.total[place] == len(sample.input_ids) == lengths.prompt[place] + lengths.learned[place]
        assert lengths.learned[place] == len(learned)
        assert (lengths.answer_start[place], lengths.answer_end[place]) == (learned[0], learned[-1] + 1)
        assert lengths.turns[place] == sum(message.role == "assistant" for message in row.messages)
    assert len(lengths) == len(lengths.of_part("train")) + len(lengths.of_part("validation")) == 80
    assert lengths.of_part("validation").row.tolist() == list(dataset.split.validation)


WAYS = [("oldest_turns", "left"), ("drop", "left"), ("cut", "left"), ("cut", "right")]


@pytest.mark.parametrize("limit", [32, 48, 96, 200, 1000])
@pytest.mark.parametrize(("truncation", "side"), WAYS, ids=str)
def test_the_curve_tells_what_the_limit_does(
    dataset: Dataset, lengths: TokenLengths, limit: int, truncation: Any, side: Any
) -> None:
    ways = {"tokenizer.truncation": truncation, "tokenizer.truncation_side": side, "tokenizer.max_length": limit}
    samples = made(**ways).encode_many(rows_of(dataset))
    (point,) = truncation_curve(lengths, [limit], truncation=truncation, side=side)
    assert point.max_length == limit
    assert point.rows_cut == sum(sample.truncated for sample in samples)
    assert point.dropped == sum(sample.outcome == "dropped" for sample in samples)
    assert point.unlearned == tuple(sample.row for sample in samples if not sample.learned_tokens)
    fewer = [sample.learned_tokens < int(all_) for sample, all_ in zip(samples, lengths.learned, strict=True)]
    assert point.answers_cut == sum(fewer)


@pytest.mark.parametrize(("truncation", "side"), WAYS, ids=str)
def test_the_curve_knows_that_a_document_keeps_its_beginning(truncation: Any, side: Any) -> None:
    ways = {"tokenizer.truncation": truncation, "tokenizer.truncation_side": side, "tokenizer.max_length": 64}
    template = made(**ways)
    texts = ["one two three " * count for count in (2, 40, 90)]
    rows = [Conversation(row, (Message("assistant", text, True),), plain=True) for row, text in enumerate(texts)]
    samples = template.encode_many(rows)
    lengths = TokenLengths(*measure(template, rows).T)
    (point,) = truncation_curve(lengths, [64], truncation=truncation, side=side)
    assert point.dropped == sum(sample.outcome == "dropped" for sample in samples) == (2 if truncation == "drop" else 0)
    assert point.unlearned == tuple(sample.row for sample in samples if not sample.learned_tokens)
    assert (point.rows_cut, point.answers_cut) == (2, 2)


def test_lengths_are_counted_once_whatever_the_limit_and_again_for_another_template(
    dataset: Dataset, tmp_path: Path
) -> None:
    heard: list[int] = []
    first = token_lengths(tmp_path, made(), dataset, lambda done, total: heard.append(total))
    again = token_lengths(
        tmp_path, made(**{"tokenizer.max_length": 64}), dataset, lambda done, total: pytest.fail("counted again")
    )
    assert np.array_equal(first.total, again.total) and set(heard) == {80}
    assert token_lengths(tmp_path, made(**{"dataset.chat_template": "chatml"}), dataset).total.sum() > first.total.sum()


def test_a_damaged_file_is_counted_again(dataset: Dataset, tmp_path: Path) -> None:
    first = token_lengths(tmp_path, made(), dataset)
    path = lengths_path(tmp_path, made(), dataset)
    path.write_bytes(path.read_bytes()[:100])
    assert load_lengths(path) is None
    assert np.array_equal(token_lengths(tmp_path, made(), dataset).total, first.total)
    assert load_lengths(path) is not None


def test_a_cancelled_count_leaves_nothing(dataset: Dataset, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        token_lengths(tmp_path, made(), dataset, stop)
    assert not list(tmp_path.rglob("*.npz"))
