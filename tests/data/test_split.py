"""The split is the same each time, keeps equal prompts together, and never leaves a side empty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import normalised
from llm_studio.data.split import automatic_size, sampled, split_rows
from llm_studio.errors import UserError


def hashes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=2, max_size=300),
    st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 7.0]),
)
def test_is_deterministic_disjoint_and_safe_by_group(rows: list[tuple[int, bool]], size: float) -> None:
    prompts = hashes(*(prompt for prompt, _ in rows))
    usable = np.array([use for _, use in rows])
    chosen = DatasetSettings(validation_size=size)
    try:
        train, validation = split_rows(prompts, usable, chosen)
    except UserError:
        assert len(set(prompts[usable].tolist())) < 2 or size >= usable.sum()
        return
    again = split_rows(prompts, usable, chosen)
    assert (train.tolist(), validation.tolist()) == (again[0].tolist(), again[1].tolist())
    assert len(train) >= 1 and len(validation) >= 1
    assert sorted([*train.tolist(), *validation.tolist()]) == np.flatnonzero(usable).tolist()
    assert not set(prompts[train].tolist()) & set(prompts[validation].tolist())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (2, 1),
        (5, 1),
        (10, 2),
        (100, 20),
        (250, 50),
        (400, 50),
        (600, 60),
        (999, 100),
        (2000, 200),
        (7473, 200),
        (10**6, 200),
    ],
)
def test_holds_out_50_to_200_rows_where_there_are_enough(rows: int, expected: int) -> None:
    assert automatic_size(rows) == expected


def test_a_share_and_a_number_of_rows_are_met_exactly_without_equal_prompts() -> None:
    prompts = np.arange(1000, dtype=np.uint64) * np.uint64(7919)
    usable = np.ones(1000, dtype=bool)
    assert len(split_rows(prompts, usable, DatasetSettings(validation_size=0.25))[1]) == 250
    assert len(split_rows(prompts, usable, DatasetSettings(validation_size=37))[1]) == 37


def test_a_row_stays_on_its_side_when_others_come() -> None:
    prompts = np.random.default_rng(0).integers(0, 2**63, 2000).astype(np.uint64)
    few = split_rows(prompts[:1000], np.ones(1000, bool), DatasetSettings(validation_size=0.1))[1]
    more = split_rows(prompts, np.ones(2000, bool), DatasetSettings(validation_size=0.1))[1]
    assert len(set(few.tolist()) & set(more.tolist())) > 70


def test_refuses_when_all_prompts_are_the_same() -> None:
    with pytest.raises(UserError, match="All rows have the same prompt"):
        split_rows(hashes(1, 1, 1), np.ones(3, bool), DatasetSettings())


def test_refuses_to_hold_out_every_row() -> None:
    with pytest.raises(UserError, match="5 validation rows are asked for, and only 3 rows can be used"):
        split_rows(hashes(1, 2, 3), np.ones(3, bool), DatasetSettings(validation_size=5))


def test_a_group_too_large_for_the_validation_part_stays_with_training() -> None:
    prompts = hashes(*([1] * 90), *range(100, 110))
    train, validation = split_rows(prompts, np.ones(100, bool), DatasetSettings(validation_size=0.1))
    assert validation.tolist() == list(range(90, 100))
    assert train.tolist() == list(range(90))


def test_prompts_that_differ_in_case_and_space_are_the_same() -> None:
    assert normalised(" What  is\nthis? ") == normalised("what is this?")
    assert normalised("ﬁne é") == normalised("fine e\u0301")
    assert normalised("a") != normalised("b")


def test_sampling_takes_the_same_share_each_time_and_at_least_ten_rows() -> None:
    rows = np.arange(1000)
    some = sampled(rows, 0.1, 0)
    assert len(some) == 100 and some.tolist() == sorted(some.tolist()) == sampled(rows, 0.1, 0).tolist()
    assert sampled(rows, 0.1, 1).tolist() != some.tolist()
    assert len(sampled(rows, 0.001, 0)) == 10
    assert len(sampled(np.arange(7), 0.1, 0)) == 7
    assert sampled(rows, 1.0, 0) is rows
