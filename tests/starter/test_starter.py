"""The bundled backbone: small, complete, copies from its prompt; the samples: unique rows, always the same bytes."""

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_studio import starter
from llm_studio.config import settings_by_path
from llm_studio.starter.scripts import documents, make_samples, world

LARGEST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(str(starter.BACKBONE))


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(str(starter.BACKBONE), dtype=torch.float32).eval()


def test_it_takes_at_most_ten_megabytes() -> None:
    assert sum(file.stat().st_size for file in starter.BACKBONE.iterdir()) <= LARGEST_BYTES


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_as_it_was(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_it_reads_2048_tokens_and_has_a_chat_template_that_ends_turns(tokenizer: Any, model: Any) -> None:
    assert model.config.max_position_embeddings >= 2048
    with torch.no_grad():
        assert model(input_ids=torch.full((1, 2048), 300)).logits.isfinite().all()
    turn = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]
    text = tokenizer.apply_chat_template(turn, tokenize=False)
    assert text == "<|user|>Hello.<|end|><|assistant|>Hi.<|end|>"
    assert tokenizer.eos_token == "<|end|>"
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def answers(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    tokenizer.padding_side = "left"
    texts = [f"<|user|>{prompt}<|end|><|assistant|>" for prompt in prompts]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        made = model.generate(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=24, do_sample=False
        )
    return [text.strip() for text in tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :].tolist(), True)]


def test_it_copies_names_and_numbers_from_its_prompt(model: Any, tokenizer: Any) -> None:
    rng = random.Random(99)
    orders = [world.order(rng) for _ in range(20)]
    made = answers(model, tokenizer, [f"{world.order_sentence(rng, one)} Tell: who, how many." for one in orders])
    found = [re.findall(r"\w+", answer) for answer in made]
    right = [one.customer in words and str(one.quantity) in words for one, words in zip(orders, found, strict=True)]
    assert sum(right) >= 18, made


def test_recommended_settings_exist_and_are_built() -> None:
    known = settings_by_path()
    assert starter.RECOMMENDED
    for path in starter.RECOMMENDED:
        assert known[path].status == "ready", path


def rows_of(sample: starter.Sample) -> list[dict[str, Any]]:
    text = sample.path.read_text(encoding="utf-8")
    if sample.path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("sample", starter.SAMPLES, ids=lambda sample: sample.name)
def test_rows_of_a_sample_are_unique_and_complete(sample: starter.Sample) -> None:
    rows = rows_of(sample)
    assert len(rows) >= 1000
    assert len({json.dumps(row) for row in rows}) == len(rows)
    for row in rows:
        assert all(row[column] for column in (*sample.prompt_columns, *filter(None, [sample.answer_column])))


def test_the_shipped_samples_are_what_the_script_writes(tmp_path: Path) -> None:
    make_samples.write(tmp_path)
    for sample in starter.SAMPLES:
        assert sample.path.read_bytes() == (tmp_path / sample.path.name).read_bytes()


def test_documents_are_the_same_for_the_same_seed_and_never_hold_the_answers_of_the_samples() -> None:
    one = [documents.document(random.Random(seed), 96, 0.2) for seed in range(300)]
    two = [documents.document(random.Random(seed), 96, 0.2) for seed in range(300)]
    assert one == two
    text = "".join(piece.text for document in one for piece in document)
    assert "Kind regards, " not in text
    assert "says the story" not in text


def test_the_tokenizer_is_saved_under_the_name_that_transformers_4_knows_too() -> None:
    config = json.loads((starter.BACKBONE / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["<|system|>", "<|user|>", "<|assistant|>"]


def test_the_samples_of_another_count_begin_with_the_same_rows(tmp_path: Path) -> None:
    make_samples.write(tmp_path, 20)
    for sample in starter.SAMPLES:
        assert sample.path.read_bytes().startswith((tmp_path / sample.path.name).read_bytes())
