"""The split is the same each time, keeps equal prompts together, and never leaves a side empty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import normalised
from llm_studio.data.splitting.split import Use, automatic_size, by_column, joined, sampled, split_rows
from llm_studio.errors import UserError

Rows = np.ndarray


def sides(*arguments: object, **more: object) -> tuple[Rows, Rows]:
    """The rows to learn from and those held out."""
    codes = split_rows(*arguments, **more)
    return np.flatnonzero(codes == Use.TRAIN), np.flatnonzero(codes == Use.VALIDATION)


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
        train, validation = sides(prompts, usable, chosen)
    except UserError:
        assert len(set(prompts[usable].tolist())) < 2 or size >= usable.sum()
        return
    again = sides(prompts, usable, chosen)
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
    assert len(sides(prompts, usable, DatasetSettings(validation_size=0.25))[1]) == 250
    assert len(sides(prompts, usable, DatasetSettings(validation_size=37))[1]) == 37


def test_a_row_stays_on_its_side_when_others_come() -> None:
    prompts = np.random.default_rng(0).integers(0, 2**63, 2000).astype(np.uint64)
    few = sides(prompts[:1000], np.ones(1000, bool), DatasetSettings(validation_size=0.1))[1]
    more = sides(prompts, np.ones(2000, bool), DatasetSettings(validation_size=0.1))[1]
    assert len(set(few.tolist()) & set(more.tolist())) > 70


def test_refuses_when_all_prompts_are_the_same() -> None:
    with pytest.raises(UserError, match="All rows have the same prompt"):
        sides(hashes(1, 1, 1), np.ones(3, bool), DatasetSettings())


def test_refuses_to_hold_out_every_row() -> None:
    with pytest.raises(UserError, match="5 rows are to be held out, and only 3 rows can be used"):
        sides(hashes(1, 2, 3), np.ones(3, bool), DatasetSettings(validation_size=5))


def test_a_group_too_large_for_the_validation_part_stays_with_training() -> None:
    prompts = hashes(*([1] * 90), *range(100, 110))
    train, validation = sides(prompts, np.ones(100, bool), DatasetSettings(validation_size=0.1))
    assert validation.tolist() == list(range(90, 100))
    assert train.tolist() == list(range(90))


def test_prompts_that_differ_in_case_and_space_are_the_same() -> None:
    assert normalised(" What  is\nthis? ") == normalised("what is this?")
    assert normalised("ﬁne é") == normalised("fine e\u0301")
    assert normalised("a") != normalised("b")


def test_rows_that_belong_together_are_never_on_both_sides() -> None:
    rng = np.random.default_rng(1)
    prompts = rng.integers(0, 2**63, 1000).astype(np.uint64)
    documents = rng.integers(1, 120, 1000).astype(np.uint64)
    near = np.zeros(1000, dtype=np.uint64)
    near[[3, 500, 900]] = 7
    train, validation = sides(
        prompts, np.ones(1000, bool), DatasetSettings(validation_size=0.2), groups=(documents, near)
    )
    assert not set(documents[train].tolist()) & set(documents[validation].tolist())
    assert len({"train" if row in train else "validation" for row in (3, 500, 900)}) == 1
    assert 150 <= len(validation) <= 200


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40))
def test_groups_join_through_a_chain_of_common_rows(rows: list[tuple[int, int]]) -> None:
    found = joined([hashes(*(one for one, _ in rows)), hashes(*(two for _, two in rows))])
    expected = list(range(len(rows)))
    for _ in rows:
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                if any(a == b != 0 for a, b in zip(one, other, strict=True)):
                    expected[i] = expected[j] = min(expected[i], expected[j])
    assert found.tolist() == expected


def test_test_rows_are_apart_from_both_others_and_do_not_move_the_validation_rows() -> None:
    prompts = np.random.default_rng(2).integers(0, 2**63, 1000).astype(np.uint64)
    usable = np.ones(1000, bool)
    codes = split_rows(prompts, usable, DatasetSettings(validation_size=100, test_size=50))
    assert [int((codes == use).sum()) for use in Use] == [0, 850, 100, 50]
    without = split_rows(prompts, usable, DatasetSettings(validation_size=100))
    assert np.array_equal(codes == Use.VALIDATION, without == Use.VALIDATION)


def test_another_split_number_holds_out_other_rows() -> None:
    prompts = np.random.default_rng(3).integers(0, 2**63, 1000).astype(np.uint64)
    usable = np.ones(1000, bool)
    one, two = (set(sides(prompts, usable, DatasetSettings(split_seed=seed))[1].tolist()) for seed in (0, 1))
    assert len(one) == len(two) == 100 and len(one & two) < 40


def test_each_layer_gets_its_share_of_the_held_out_rows() -> None:
    prompts = np.random.default_rng(4).integers(0, 2**63, 1000).astype(np.uint64)
    layers = np.array([0] * 900 + [1] * 80 + [2] * 20)
    _, validation = sides(prompts, np.ones(1000, bool), DatasetSettings(validation_size=100), strata=layers)
    assert np.bincount(layers[validation]).tolist() == [90, 8, 2]


def test_a_column_says_the_part_and_a_wrong_word_is_named_with_its_row() -> None:
    usable = np.ones(5, bool)
    codes = by_column(["train", "Valid", None, " test ", ""], usable, "part")
    assert codes.tolist() == [Use.TRAIN, Use.VALIDATION, Use.TRAIN, Use.TEST, Use.TRAIN]
    with pytest.raises(UserError, match="“later” of column “part” names no part") as caught:
        by_column(["train", "dev", "later"], usable[:3], "part")
    assert caught.value.where == "column “part”, row 3"
    with pytest.raises(UserError, match="No usable row is marked “validation”"):
        by_column(["train", "test"], usable[:2], "part")


def test_sampling_takes_the_same_share_each_time_and_at_least_ten_rows() -> None:
    rows = np.arange(1000)
    some = sampled(rows, 0.1, 0)
    assert len(some) == 100 and some.tolist() == sorted(some.tolist()) == sampled(rows, 0.1, 0).tolist()
    assert sampled(rows, 0.1, 1).tolist() != some.tolist()
    assert len(sampled(rows, 0.001, 0)) == 10
    assert len(sampled(np.arange(7), 0.1, 0)) == 7
    assert sampled(rows, 1.0, 0) is rows
