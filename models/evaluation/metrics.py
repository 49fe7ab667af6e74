"""Tie-aware retrieval metrics and the health of a set of codes.

Hamming distances tie often and in large groups, so an order among equals is an accident. Every ranking
metric here is the expected value over a uniformly random order within each group of equal distance
(McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
Tied Scores", ECIR 2008).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, unpack

Floats = NDArray[np.float64]
BLOCK = 65_536


@dataclass(frozen=True)
class TieGroups:
    """One query's ranking, nearest group of equal distance first: (g,) sizes, and (g,) relevant items in each."""

    sizes: NDArray[np.intp]
    hits: NDArray[np.intp]


def tie_groups(
    distances: NDArray[np.floating] | NDArray[np.integer],
    relevant: NDArray[np.bool_],
    unranked: tuple[int, int] = (0, 0),
) -> TieGroups:
    """The groups of distances (n,) and relevant (n,); `unranked` items, and hits among them, come after all."""
    _, group = np.unique(distances, return_inverse=True)
    sizes, hits = np.bincount(group), np.bincount(group, weights=relevant).astype(np.intp)
    if unranked[0]:
        sizes, hits = np.append(sizes, unranked[0]), np.append(hits, unranked[1])
    return TieGroups(sizes, hits)


def expected_hits(groups: TieGroups, k: int) -> float:
    """Expected number of relevant items among the k nearest."""
    taken = np.clip(k - (np.cumsum(groups.sizes) - groups.sizes), 0, groups.sizes)
    return float(np.sum(groups.hits * (taken / np.maximum(groups.sizes, 1))))


def precision_at(groups: TieGroups, k: int) -> float:
    """Expected precision@k of one query: relevant items among the k nearest, over k."""
    return expected_hits(groups, k) / k


def recall_at(groups: TieGroups, k: int) -> float:
    """Expected recall@k of one query: the share of its relevant items that are among the k nearest."""
    return expected_hits(groups, k) / max(1, int(groups.hits.sum()))


def average_precision(groups: TieGroups, depth: int | None = None) -> float:
    """Expected average precision of one query, over the first `depth` ranks (all when None).

    Within a group of n tied items of which r are relevant, after `before` items and `seen` relevant ones, the
    item at place i is relevant with probability r / n and then has on average (i - 1)(r - 1) / (n - 1)
    relevant group members ahead of it. The sum is divided by min(all relevant, depth).
    """
    items, total = int(groups.sizes.sum()), int(groups.hits.sum())
    if total == 0:
        return 0.0
    depth = items if depth is None else min(depth, items)
    value, before, seen = 0.0, 0, 0
    for size, hits in zip(groups.sizes.tolist(), groups.hits.tolist(), strict=True):
        if before >= depth:
            break
        if hits:
            place = np.arange(1, min(size, depth - before) + 1)
            ahead = (place - 1) * ((hits - 1) / (size - 1) if size > 1 else 0.0)
            value += float(np.sum((seen + 1 + ahead) / (before + place))) * hits / size
        before, seen = before + size, seen + hits
    return value / min(total, depth)


def share_of_ones(codes: Codes) -> Floats:
    """For each bit, the share (bits,) of codes (n, bits / 8) in which it is set; NaN of no codes."""
    ones = np.zeros(codes.shape[1] * 8)
    for start in range(0, len(codes), BLOCK):
        ones += unpack(codes[start : start + BLOCK]).sum(axis=0, dtype=np.int64)
    return ones / len(codes) if len(codes) else ones * np.nan


def entropy(share: Floats) -> Floats:
    """The entropy, in bits, of bits that are set with these probabilities: 1.0 at one half."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of zero, as minus zero would be told as -0.0.
        return 0.0 - np.nan_to_num(share * np.log2(share)) - np.nan_to_num((1 - share) * np.log2(1 - share))


def bit_entropy(codes: Codes) -> float:
    """Mean over the bits of the entropy of the bit's share of ones: 1.0 where all are balanced."""
    return float(entropy(share_of_ones(codes)).mean())


def bit_correlation(codes: Codes) -> Floats:
    """Pearson correlations (bits, bits) between the bits of codes; 0 for a bit that never changes, 1 with itself."""
    bits = unpack(codes).astype(np.float64)
    bits -= bits.mean(axis=0)
    length = np.sqrt(np.square(bits).sum(axis=0))
    bits /= np.where(length > 0, length, 1.0)
    correlation: Floats = bits.T @ bits
    np.fill_diagonal(correlation, 1.0)
    return correlation


def distinct_share(codes: Codes) -> float:
    """Number of distinct codes over the number of codes."""
    return len(np.unique(codes, axis=0)) / len(codes)
