"""What a forecast says: plain figures when it fits, and what to change, with numbers, when it does not."""

from dataclasses import replace
from typing import Any

import pytest

from llm_studio.config import make_config
from llm_studio.training.forecast import Measured, forecast
from llm_studio.training.forecast_words import advice, duration, pair, sentences, size
from tests.training.test_forecast import MEASURED


def said(measured: Measured, *, steps: int = 240, **changes: Any) -> tuple[str, tuple[str, ...]]:
    config = make_config({"training.batch_size": 4, "prediction.max_generated_rows": 100, **changes})
    found = forecast(measured, config, steps=steps, evaluations=2, base_scores_known=False)
    return " ".join(sentences(found, config)), advice(found, measured, config)


def test_an_experiment_that_fits_is_told_in_three_sentences_and_needs_no_advice() -> None:
    words, changes = said(MEASURED)
    assert words == (
        "Fits: peak 1.4 of 24 GB. About 1 min 30 s: 5 s start, 41 s training (240 steps of 0.17 s), 39 s scoring in "
        "3 evaluations with 100 answers each, 94 % of the training. Checkpoints take 27 MB."
    )
    assert changes == ()


def test_a_batch_that_ran_out_of_memory_names_the_one_that_fits_and_keeps_the_rows_of_a_step() -> None:
    words, changes = said(replace(MEASURED, step_rows=1, rows_at_once=1), **{"training.grad_accumulation": 2})
    assert words.startswith("Does not fit with 4 rows at once; with fewer it reaches peak 1.4 of 24 GB.")
    assert changes[0] == "Batch size 1 with gradient accumulation 8: the same result, peak about 1.4 GB."
    assert any(one.startswith("Gradient checkpointing") for one in changes)


def test_too_little_free_memory_is_told_with_the_batch_that_would_fit() -> None:
    words, changes = said(replace(MEASURED, available_bytes=1_200_000_000))
    assert words.startswith("Does not fit: peak 1.4 of 24 GB, of which 1.2 GB are free.")
    assert changes[0] == "Batch size 1 with gradient accumulation 4: the same result, peak about 1.0 GB."
    assert any(one.startswith("Number type int4") for one in changes)


def test_quantised_backbones_and_full_training_are_not_told_to_quantise() -> None:
    tight = replace(MEASURED, available_bytes=10**9)
    assert not any("Number type" in one for one in said(tight, **{"architecture.backbone_dtype": "int8"})[1])
    full = said(tight, **{"training.lora": False})[1]
    assert not any("Number type" in one for one in full)
    assert any(one.startswith("LoRA") for one in full)


def test_a_long_experiment_is_told_what_would_shorten_it_and_by_how_much() -> None:
    slow = replace(MEASURED, step_seconds=30.0, answer_seconds=9_000.0)
    words, changes = said(slow, steps=720)
    assert "About 11 h 01 min" in words
    assert changes[0] == "Generate 20 rows in each evaluation instead of 100: saves about 4 h 00 min."
    assert "One epoch less: saves about 3 h 00 min." in changes


def test_a_full_disk_is_named_with_what_is_free() -> None:
    words, changes = said(replace(MEASURED, free_disk_bytes=5_000_000))
    assert words.endswith("Checkpoints take 27 MB, but only 5.0 MB of the disk are free.")
    assert changes == ("Free disk space in Settings, or keep only the last checkpoint.",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (4.4, "4 s"), (59.7, "1 min"), (70, "1 min 10 s"), (120, "2 min"), (1800, "30 min"),
     (3599, "59 min"), (7500, "2 h 05 min"), (260_000, "3.0 days")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_have_two_figures_and_share_a_unit_where_that_reads_well() -> None:
    assert (size(999), size(12_345_678), size(1.44e9)) == ("999 B", "12 MB", "1.4 GB")
    assert (pair(1.4e9, 24e9), pair(40e6, 24e9)) == ("1.4 of 24 GB", "40 MB of 24 GB")
