"""Near-duplicates: planted pairs are found, what is reported is as alike as it says, crowds stay small."""

import random

import numpy as np
import pytest

from llm_studio.data.near import CROWD, Pairs, clusters, find_pairs, jaccard
from llm_studio.errors import Cancelled
from tests.data.planted import Planted, plain_jaccard, plant


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(2_000, 200, wanted=0.8)


def keys(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def test_finds_at_least_95_percent_of_the_pairs_planted_at_080(planted: Planted) -> None:
    found = keys(find_pairs(planted.texts, threshold=0.8))
    assert len(planted.pairs) == 200 and max(planted.pairs.values()) < 0.92
    assert sum(pair in found for pair in planted.pairs) >= 0.95 * len(planted.pairs)


def test_every_reported_similarity_is_the_plain_one_and_none_is_below_the_threshold(planted: Planted) -> None:
    for threshold in (0.8, 0.5):
        pairs = find_pairs(planted.texts, threshold=threshold)
        for left, right, alike in zip(pairs.left, pairs.right, pairs.jaccard, strict=True):
            assert left < right and alike >= threshold
            assert alike == pytest.approx(plain_jaccard(planted.texts[left], planted.texts[right]))


def test_pairs_at_060_are_not_reported_at_080() -> None:
    planted = plant(400, 100, wanted=0.6)
    near_threshold = {pair for pair, alike in planted.pairs.items() if alike >= 0.8}
    assert keys(find_pairs(planted.texts, threshold=0.8)) == near_threshold


def test_case_punctuation_and_white_space_do_not_count() -> None:
    one, other = "The  quick brown Fox, jumps!", "the quick brown fox jumps"
    assert jaccard(one, other) == 1.0
    assert jaccard("ﬁne Ｗide text here", "fine wide text here") == 1.0


def test_short_texts_compare_by_their_words() -> None:
    assert jaccard("yes", "Yes.") == 1.0
    assert jaccard("yes sir", "no sir") == pytest.approx(1 / 3)
    assert jaccard("yes", "no") == 0.0
    assert keys(find_pairs(["yes", "no", "Yes!", "", "", "..."])) == {(0, 2)}


def test_scripts_without_spaces_compare_by_their_characters() -> None:
    one = "今天天气很好，我们去公园散步吧，然后一起吃晚饭，最后回家看电影。"
    assert jaccard(one, one.replace("晚饭", "午饭")) > 0.7
    assert jaccard(one, "机器学习是人工智能的一个分支。") < 0.1


def test_ten_thousand_equal_texts_are_a_star_and_not_a_clique() -> None:
    pairs = find_pairs(["the same text for all of the rows"] * 10_000 + ["another text that nobody else has"])
    assert len(pairs) == 9_999 and set(pairs.left.tolist()) == {0}
    assert set(clusters(pairs, 10_001).tolist()) == {0, 10_000}


def test_a_crowd_of_alike_texts_becomes_one_cluster_with_few_pairs() -> None:
    base = plant(1, 0, wanted=0.8, words=(120, 120)).texts[0].split()
    chance = random.Random(3)
    texts = []
    for number in range(3_000):
        words = list(base)
        words[chance.randrange(len(words))] = f"other{number}"
        texts.append(" ".join(words))
    pairs = find_pairs(texts)
    assert len(set(clusters(pairs, len(texts)).tolist())) == 1
    assert len(pairs) < 2 * CROWD * len(texts)


def test_clusters_bear_the_number_of_their_first_text() -> None:
    left, right = np.array([4, 1, 2, 7]), np.array([5, 2, 5, 8])
    found = clusters(Pairs(left, right, np.ones(4)), 9)
    assert found.tolist() == [0, 1, 1, 3, 1, 1, 6, 7, 7]


def test_clusters_of_a_long_chain_are_one() -> None:
    chance = random.Random(1)
    order = list(range(5_000))
    chance.shuffle(order)
    left, right = np.array(order[:-1]), np.array(order[1:])
    assert not clusters(Pairs(left, right, np.ones(len(left))), 5_000).any()


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["", "", ""], ["a b c", "d e f"]])
def test_nothing_is_found_where_nothing_is_alike(texts: list[str]) -> None:
    pairs = find_pairs(texts)
    assert len(pairs) == 0
    assert clusters(pairs, len(texts)).tolist() == list(range(len(texts)))


def test_can_be_cancelled_between_bands(planted: Planted) -> None:
    def tell(share: float, words: str) -> None:
        assert 0 <= share <= 1
        if "comparing" in words:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_pairs(planted.texts, tell=tell)


def test_refuses_a_threshold_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="threshold"):
        find_pairs(["a"], threshold=0)
