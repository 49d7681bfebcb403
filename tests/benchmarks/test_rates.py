"""What the benchmarks make of their measurements."""

import pytest

from tests.benchmarks.rates import Spread, as_dict, best, ratios, spread


def test_a_spread_is_the_median_between_its_extremes() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert str(spread([1.0, 2.0])) == "1.50 (1.00 to 2.00)"


def test_ratios_are_taken_within_a_turn() -> None:
    assert ratios([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], []), ([], [])])
def test_refuses_turns_that_did_not_alternate(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"turns|measured"):
        ratios(ours, theirs)


def test_the_best_are_those_with_the_highest_medians() -> None:
    assert best({"slow": [1.0, 1.0, 9.0], "fast": [3.0, 3.0, 3.0], "middling": [2.0, 2.0, 2.0]}, 2) == [
        "fast",
        "middling",
    ]


def test_figures_for_the_json_have_four_digits() -> None:
    assert as_dict(Spread(1.23456, 0.1, 2.0)) == {"median": 1.235, "lowest": 0.1, "highest": 2.0}
