"""Statistics count what a plain loop counts."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from llm_studio.config import DatasetSettings
from llm_studio.data import open_dataset, statistics
from llm_studio.data.connectors import SourceFile
from llm_studio.data.prepare import prepare
from llm_studio.data.staging import read_into_staging
from llm_studio.errors import Cancelled, UserError


def quiet(share: float | None, words: str) -> None:
    """Hears the report and says nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of 600 rows, three of them the same."""
    rows = [{"q": "word " * (index % 50 + 1), "a": "yes " * (index % 7 + 1), "n": index} for index in range(598)]
    rows += [rows[10], rows[10], {"q": "", "a": "alone"}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read_into_staging(tmp_path / "set", SourceFile(path, "a.jsonl"), None, "a test", quiet)
    prepare(tmp_path / "set", DatasetSettings(prompt_column=("q",), answer_column="a"), leave_out=False)
    return tmp_path / "set"


@pytest.fixture
def tokenizer() -> Tokenizer:
    """One token per word."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_counts_tokens_characters_empties_and_repeats(folder: Path, tokenizer: Tokenizer) -> None:
    found = statistics.count(open_dataset(folder), tokenizer, "words", quiet)
    assert (found.rows, found.conversations, found.tokenizer) == (601, 601, "words")
    prompts = [index % 50 + 1 for index in range(598)] + [11, 11, 0]
    answers = [index % 7 + 1 for index in range(598)] + [4, 4, 1]
    both = [one + other for one, other in zip(prompts, answers, strict=True)]
    assert found.prompt_tokens.total == sum(prompts)
    assert found.answer_tokens.total == sum(answers)
    assert found.conversation_tokens.mean == round(sum(both) / 601, 2)
    assert found.conversation_tokens.longest == max(both)
    assert both[found.conversation_tokens.longest_row] == max(both)
    assert sum(found.conversation_tokens.counts) == 601
    assert found.turns == {"1": 601}
    assert (found.empty_prompts, found.duplicate_rows) == (1, 2)
    assert found.missing == {"q": 1, "a": 0, "n": 1}


def test_are_the_same_after_being_saved(folder: Path, tokenizer: Tokenizer) -> None:
    assert statistics.load(folder) is None
    found = statistics.count(open_dataset(folder), tokenizer, "words", quiet)
    statistics.save(found, folder)
    assert statistics.load(folder) == found


def test_counting_can_be_cancelled(folder: Path, tokenizer: Tokenizer) -> None:
    def report(share: float, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        statistics.count(open_dataset(folder), tokenizer, "words", report)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokenizer cannot be read") as caught:
        statistics.load_tokenizer(tmp_path)
    assert caught.value.where.endswith("tokenizer.json")
