"""Composes texts from a seeded vocabulary and plants copies that are alike to a known degree."""

import random
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planted:
    """Texts, and the pairs among them that are alike by design, with the plain similarity of each."""

    texts: list[str]
    pairs: dict[tuple[int, int], float]


def shingle_set(text: str) -> set[tuple[str, ...]]:
    """The plain definition: all runs of three words, single words of shorter texts."""
    words = text.lower().split()
    if len(words) < 3:
        return {(word,) for word in words}
    return {tuple(words[start : start + 3]) for start in range(len(words) - 2)}


def plain_jaccard(one: str, other: str) -> float:
    """Shared shingles of all shingles."""
    left, right = shingle_set(one), shingle_set(other)
    return len(left & right) / len(left | right)


def near_copy(text: str, wanted: float, chance: random.Random, vocabulary: list[str]) -> str:
    """The text with words replaced until the plain similarity falls to `wanted`: the last copy at or above it."""
    words = text.split()
    copy = text
    while True:
        words[chance.randrange(len(words))] = chance.choice(vocabulary)
        changed = " ".join(words)
        if plain_jaccard(text, changed) < wanted:
            return copy
        copy = changed


def plant(rows: int, pairs: int, *, wanted: float, seed: int = 7, words: tuple[int, int] = (45, 160)) -> Planted:
    """`rows` texts of 45 to 160 words (300 to 1,000 characters) of which `pairs` are near copies of others."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]
    # Words are frequent as in a language (Zipf), so that unrelated texts share some.
    ranks = np.random.default_rng(seed).zipf(1.3, size=rows * words[1]) % len(vocabulary)
    texts: list[str] = []
    used = 0
    for _ in range(rows - pairs):
        length = chance.randint(*words)
        texts.append(" ".join([vocabulary[rank] for rank in ranks[used : used + length]]))
        used += length
    found: dict[tuple[int, int], float] = {}
    for original in chance.sample(range(rows - pairs), pairs):
        copy = near_copy(texts[original], wanted, chance, vocabulary)
        found[(original, len(texts))] = plain_jaccard(texts[original], copy)
        texts.append(copy)
    return Planted(texts, found)
