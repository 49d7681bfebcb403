"""Finds texts that are nearly the same: MinHash proposes pairs, the exact Jaccard similarity of word triples decides.

Source: Broder 1997, "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3. The signatures are computed by rensa.
"""

import hashlib
import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

Rows = npt.NDArray[np.int64]
Tell = Callable[[float, str], None]

WORDS = 3
"""Words in a shingle. A text with fewer words is compared by its single words."""
SIGNATURE = 120
SEED = 42
RECALL = 0.99
"""Share of the pairs at the very threshold that the bands must propose (above it the share is higher)."""
CROWD = 16
"""In a bucket of more rows than this each is compared with the first one and its REACH neighbours, not with all."""
REACH = 4
BLOCK_TEXTS = 2048
BLOCK_PAIRS = 1 << 14
BLOCK_HASHES = 1 << 22
WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+|_+")
"""A run of letters and digits; scripts that put no space between words count by the character."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of texts whose similarity is at least the threshold; `left` < `right`, both count the texts from 0.

    Of equal texts each is paired with the first one only. In crowds (more than CROWD alike) not every pair is listed,
    but every text that belongs to the crowd stands in one.
    """

    left: Rows
    right: Rows
    jaccard: npt.NDArray[np.float64]
    """[pairs] exact, in [threshold, 1]."""

    def __len__(self) -> int:
        return len(self.left)


def find_pairs(texts: Iterable[str], *, threshold: float = 0.8, tell: Tell = lambda share, words: None) -> Pairs:
    """The pairs of texts that are alike to at least `threshold` (in (0, 1]); `tell` may raise Cancelled."""
    sets = ShingleSets()
    for number, text in enumerate(texts):
        sets.add(text)
        if number % BLOCK_TEXTS == 0:
            tell(0.0, f"Near-duplicates: reading {number:,} texts")
    return sets.pairs(threshold=threshold, tell=tell)


def jaccard(one: str, other: str) -> float:
    """The exact similarity of two texts in [0, 1]: word triples in common, of all that either has."""
    sets = ShingleSets()
    sets.add(one)
    sets.add(other)
    flat, starts = sets.arrays()
    return float(similarity(flat, starts, np.array([0]), np.array([1]))[0])


def clusters(pairs: Pairs, rows: int) -> Rows:
    """[rows] the cluster of every text: the number of its first text. A text without a partner is its own cluster."""
    labels = np.arange(rows, dtype=np.int64)
    join(labels, pairs.left, pairs.right)
    return labels


def join(labels: Rows, left: Rows, right: Rows) -> None:
    """Joins the clusters of all pairs, in place; afterwards each label is the smallest number of its cluster."""
    while True:
        here, there = labels[left], labels[right]
        apart = here != there
        if not apart.any():
            return
        low, high = np.minimum(here, there)[apart], np.maximum(here, there)[apart]
        np.minimum.at(labels, high, low)
        while not np.array_equal(labels, shorter := labels[labels]):
            labels[:] = shorter


class ShingleSets:
    """The shingles of every text that was added, as 64-bit hashes: about 8 bytes a word."""

    def __init__(self) -> None:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        self._numbers = numbers
        self._waiting: list[str] = []
        self._flat: list[npt.NDArray[np.uint64]] = []
        self._sizes: list[Rows] = []

    def add(self, text: str) -> None:
        """One more text."""
        self._waiting.append(text)
        if len(self._waiting) == BLOCK_TEXTS:
            self._take()

    def arrays(self) -> tuple[npt.NDArray[np.uint64], Rows]:
        """The hashes of all texts, ascending and once each within a text; and where each text starts, [texts + 1]."""
        if self._waiting:
            self._take()
        flat = np.concatenate(self._flat) if self._flat else np.zeros(0, dtype=np.uint64)
        self._flat = [flat]
        starts = np.concatenate([np.zeros(1, dtype=np.int64), *self._sizes])
        return flat, np.cumsum(starts)

    def _take(self) -> None:
        """Turns the waiting texts into shingles."""
        words = array("Q")
        lengths = []
        number_of = self._numbers.__getitem__
        for text in self._waiting:
            plain = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
            found = WORD.findall(plain)
            words.extend(map(number_of, found))
            lengths.append(len(found))
        self._waiting = []
        hashes, row = shingles(np.frombuffer(words, dtype=np.uint64), np.array(lengths, dtype=np.int64))
        counts = np.bincount(row, minlength=len(lengths))
        ends = np.cumsum(counts)
        for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True):
            hashes[start:end].sort()
        first = np.ones(len(hashes), dtype=np.bool_)
        first[1:] = (hashes[1:] != hashes[:-1]) | (row[1:] != row[:-1])
        self._flat.append(hashes[first])
        self._sizes.append(np.bincount(row[first], minlength=len(lengths)).astype(np.int64))

    def pairs(self, *, threshold: float = 0.8, tell: Tell = lambda share, words: None) -> Pairs:
        """The pairs that are alike to at least `threshold`; `tell` hears a share in [0, 1] and may raise Cancelled."""
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold must be in (0, 1], not {threshold}")
        flat, starts = self.arrays()
        first = first_equals(flat, starts)
        texts = np.arange(len(first), dtype=np.int64)
        held = np.diff(starts) > 0
        again = held & (first != texts)
        kept = texts[held & (first == texts)]
        tell(0.1, "Near-duplicates: computing signatures")
        left, right, alike = propose_and_check(flat, starts, kept, signatures(flat, starts, kept), threshold, tell)
        left, right = np.concatenate([first[again], left]), np.concatenate([texts[again], right])
        alike = np.concatenate([np.ones(int(again.sum())), alike])
        order = np.lexsort((right, left))
        return Pairs(left[order], right[order], alike[order])


def shingles(words: npt.NDArray[np.uint64], lengths: Rows) -> tuple[npt.NDArray[np.uint64], Rows]:
    """Hashes of all runs of WORDS words (single words of shorter texts) and the text that each belongs to."""
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    short = lengths[text_of] < WORDS
    if len(words) < WORDS:
        return mixed(words), text_of
    with np.errstate(over="ignore"):
        runs = mixed(words[:-2])
        for step in range(1, WORDS):
            runs = mixed(runs * np.uint64(0x9E3779B97F4A7C15) + words[step : len(words) - WORDS + 1 + step])
    whole = text_of[:-2] == text_of[2:]
    hashes = np.concatenate([runs[whole], mixed(words[short])])
    row = np.concatenate([text_of[:-2][whole], text_of[short]])
    order = np.argsort(row, kind="stable")
    return hashes[order], row[order]


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spreads numbers over 64 bits (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def first_equals(flat: npt.NDArray[np.uint64], starts: Rows) -> Rows:
    """[texts] the first text with the same set of shingles."""
    seen: dict[bytes, int] = {}
    held = flat.view(np.uint8).data
    bounds = (8 * starts).tolist()
    first = [
        seen.setdefault(hashlib.blake2b(held[start:end], digest_size=16).digest(), number)
        for number, (start, end) in enumerate(pairwise(bounds))
    ]
    return np.array(first, dtype=np.int64)


def signatures(flat: npt.NDArray[np.uint64], starts: Rows, kept: Rows) -> npt.NDArray[np.uint32]:
    """[kept, SIGNATURE] MinHash of the texts that are kept."""
    found = np.empty((len(kept), SIGNATURE), dtype=np.uint32)
    for begin in range(0, len(kept), BLOCK_TEXTS):
        rows = kept[begin : begin + BLOCK_TEXTS]
        hashes, sizes = gathered(flat, starts, rows)
        bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, bounds, SIGNATURE, SEED)
        found[begin : begin + len(rows)] = matrix.to_rows()
    return found


def gathered(flat: npt.NDArray[np.uint64], starts: Rows, rows: Rows) -> tuple[npt.NDArray[np.uint64], Rows]:
    """The hashes of some texts one after the other, and how many each has."""
    sizes = starts[rows + 1] - starts[rows]
    before = np.cumsum(sizes) - sizes
    return flat[np.arange(int(sizes.sum())) + np.repeat(starts[rows] - before, sizes)], sizes


def similarity(flat: npt.NDArray[np.uint64], starts: Rows, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
    """[pairs] exact Jaccard similarity (two different shingles count as one in less than one of 10 million pairs)."""
    found = np.empty(len(left), dtype=np.float64)
    cost = np.cumsum(starts[left + 1] - starts[left] + starts[right + 1] - starts[right])
    begin = 0
    while begin < len(left):
        reach = int(np.searchsorted(cost, (cost[begin - 1] if begin else 0) + BLOCK_HASHES, side="right"))
        end = min(max(reach, begin + 1), begin + BLOCK_PAIRS)
        sides = (left[begin:end], right[begin:end])
        keys, sizes = [], np.zeros(len(sides[0]), dtype=np.int64)
        for rows in sides:
            hashes, counts = gathered(flat, starts, rows)
            pair = np.repeat(np.arange(len(rows), dtype=np.uint64), counts)
            keys.append((pair << np.uint64(50)) | (hashes >> np.uint64(14)))
            sizes += counts
        both = np.sort(np.concatenate(keys))
        shared = np.bincount((both[1:][both[1:] == both[:-1]] >> np.uint64(50)).astype(np.int64), minlength=len(sizes))
        found[begin:end] = shared / np.maximum(sizes - shared, 1)
        begin = end
    return found


def rows_per_band(threshold: float) -> int:
    """As many as still propose RECALL of the pairs at the threshold: longer bands propose fewer pairs in vain."""
    able = [r for r in range(1, SIGNATURE + 1) if 1 - (1 - threshold**r) ** (SIGNATURE // r) >= RECALL]
    return max(able, default=1)


def propose_and_check(
    flat: npt.NDArray[np.uint64],
    starts: Rows,
    kept: Rows,
    signed: npt.NDArray[np.uint32],
    threshold: float,
    tell: Tell,
) -> tuple[Rows, Rows, npt.NDArray[np.float64]]:
    """Left, right and similarity of all pairs that share a band and are alike enough. `signed`: [kept, SIGNATURE]."""
    width = rows_per_band(threshold)
    bands = SIGNATURE // width
    labels = np.arange(len(kept), dtype=np.int64)
    known = np.zeros(0, dtype=np.int64)
    found: list[tuple[Rows, Rows, npt.NDArray[np.float64]]] = []
    for band in range(bands):
        tell(0.3 + 0.7 * band / bands, f"Near-duplicates: comparing, {band + 1} of {bands}")
        keys = np.zeros(len(kept), dtype=np.uint64)
        with np.errstate(over="ignore"):
            for column in range(band * width, (band + 1) * width):
                keys = mixed(keys * np.uint64(31) + signed[:, column])
        near, far = candidates(keys, labels)
        fresh = np.setdiff1d(near * len(kept) + far, known)
        near, far = fresh // max(len(kept), 1), fresh % max(len(kept), 1)
        alike = similarity(flat, starts, kept[near], kept[far])
        known = np.union1d(known, fresh)
        enough = alike >= threshold
        found.append((kept[near[enough]], kept[far[enough]], alike[enough]))
        join(labels, near[enough], far[enough])
    left, right, similar = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return left, right, similar


def candidates(keys: npt.NDArray[np.uint64], labels: Rows) -> tuple[Rows, Rows]:
    """Pairs (smaller number first) with the same key; in crowds only some, and none that are joined already."""
    order = np.argsort(keys, kind="stable")
    grouped = keys[order]
    begins = np.flatnonzero(np.concatenate([np.ones(1, dtype=np.bool_), grouped[1:] != grouped[:-1]]))
    sizes = np.diff(np.append(begins, len(keys)))
    begin_of, size_of = np.repeat(begins, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(keys)) - begin_of
    near, far = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for distance in range(1, CROWD):
        here = np.flatnonzero((place >= distance) & ((size_of <= CROWD) | (distance <= REACH)))
        near.append(order[here - distance])
        far.append(order[here])
    crowd = np.flatnonzero((size_of > CROWD) & (place > REACH))
    near.append(order[begin_of[crowd]])
    far.append(order[crowd])
    left, right = np.concatenate(near), np.concatenate(far)
    in_crowd = np.zeros(len(keys), dtype=np.bool_)
    in_crowd[order] = size_of > CROWD
    wanted = ~in_crowd[right] | (labels[left] != labels[right])
    left, right = left[wanted], right[wanted]
    return np.minimum(left, right), np.maximum(left, right)
