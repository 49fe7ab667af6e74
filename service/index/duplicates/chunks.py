"""Every pair of codes within a Hamming distance d, exactly, without comparing all pairs.

Cut the bits into d + k chunks: two codes that differ in at most d bits differ in at most d of the chunks, so at least k
agree. For each choice of k chunks the codes are sorted by these, and only codes that agree in them are compared (Manku,
Jain and Das Sarma, "Detecting near-duplicates for web crawling", 2007; k = 1 is the multi-index hashing of Norouzi,
Punjani and Fleet, 2012). With k = 0 all agree, and all are compared. Which k costs least, a sample of the codes tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.index.duplicates.buckets import Numbers, Pairs, Words, as_words, compare

SEED = 0
SAMPLE_CODES = 16_384
TABLES_TRIED = 3
MOST_AGREEING = 3
MOST_TABLES = 500
# In comparisons, each about a nanosecond: to sort one code into a table.
SORTED = 300
MIX, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


@dataclass(frozen=True)
class Scheme:
    """A mask (t, w) uint64 for each of t tables, and what it takes to look for pairs in all of them, in comparisons."""

    masks: Words
    cost: float


def near_pairs(codes: Codes, distance: int, scheme: Scheme, labels: Numbers | None = None) -> Iterator[Pairs]:
    """All pairs of codes (n, bits / 8) within `distance` (inclusive) and of different labels (n,), some more than once.

    Without labels all pairs. In blocks of a few megabytes at most, each found within a moment, so that whoever asks may
    stop.
    """
    words = as_words(codes)
    for mask in scheme.masks:
        keys = _keys(words, mask)
        order = np.argsort(keys) if labels is None else np.lexsort((labels, keys))
        yield from compare(codes[order], keys[order], order, order if labels is None else labels[order], distance)


def choose(codes: Codes, distance: int, labels: Numbers | None = None) -> Scheme:
    """The scheme that costs least for these codes (n, bits / 8) and labels (n,), judged by a sample of them."""
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(codes), min(SAMPLE_CODES, len(codes)), replace=False)
    sample = as_words(codes[chosen])
    pairs = len(codes) * (len(codes) - 1) / 2
    schemes = []
    for agreeing in range(MOST_AGREEING + 1):
        tables = comb(distance + agreeing, agreeing)
        if agreeing and (distance + agreeing > codes.shape[1] * 8 or tables > MOST_TABLES):
            break
        masks = _masks(codes.shape[1] * 8, distance + agreeing, agreeing)
        tried = masks[rng.choice(tables, min(TABLES_TRIED, tables), replace=False)]
        shares = [_compared_share(_keys(sample, mask), None if labels is None else labels[chosen]) for mask in tried]
        schemes.append(Scheme(masks, tables * (SORTED * len(codes) + pairs * float(np.mean(shares)))))
    return min(schemes, key=lambda scheme: scheme.cost)


def _masks(bits: int, chunks: int, agreeing: int) -> Words:
    """A mask (t, w) for each choice of chunks, whose bits are from all over the code: neighbours may be alike."""
    parts = np.array_split(np.random.default_rng(SEED).permutation(bits), chunks) if agreeing else []
    chosen = np.zeros((comb(chunks, agreeing), bits), np.uint8)
    for row, choice in zip(chosen, combinations(parts, agreeing), strict=True):
        row[[bit for part in choice for bit in part]] = 1
    return np.ascontiguousarray(as_words(np.packbits(chosen, axis=1, bitorder="little")).T)


def _keys(words: Words, mask: NDArray[np.uint64]) -> Words:
    """A number (n,) of the bits in the mask; where different bits get the same one, they are compared in vain."""
    keys: Words = words[0] & mask[0]
    for word, part in zip(words[1:], mask[1:], strict=True):
        keys ^= keys >> SHIFT
        keys *= MIX
        keys += word & part
    return keys


def _compared_share(keys: Words, labels: Numbers | None) -> float:
    """The share of the pairs that have one key and different labels."""
    same = _same(keys)
    if labels is not None:
        order = np.lexsort((labels, keys))
        new = (keys[order[1:]] != keys[order[:-1]]) | (labels[order[1:]] != labels[order[:-1]])
        same -= _same(np.cumsum(new))
    return same / max(1, len(keys) * (len(keys) - 1))


def _same(keys: Words | Numbers) -> float:
    sizes = np.unique(keys, return_counts=True)[1].astype(np.float64)
    return float(np.sum(sizes * (sizes - 1)))
