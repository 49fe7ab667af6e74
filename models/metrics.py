"""Tie-aware retrieval metrics and the health of a set of codes.

Hamming distances tie often and in large groups, so an order among equals is an accident. Every ranking
metric here is the expected value over a uniformly random order within each group of equal distance
(McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
Tied Scores", ECIR 2008).
"""

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, unpack

Real = NDArray[np.floating] | NDArray[np.integer]


def _tie_groups(distances: Real, relevant: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Size and number of relevant items of each group of equal distance, nearest group first."""
    _, group = np.unique(distances, return_inverse=True)
    return np.bincount(group), np.bincount(group, weights=relevant).astype(np.intp)


def expected_hits(distances: Real, relevant: NDArray[np.bool_], k: int) -> float:
    """Expected number of relevant items among the k nearest; distances and relevant are (n,)."""
    sizes, hits = _tie_groups(distances, relevant)
    taken = np.clip(k - (np.cumsum(sizes) - sizes), 0, sizes)
    return float(np.sum(hits * taken / sizes))


def precision_at(distances: Real, relevant: NDArray[np.bool_], k: int) -> float:
    """Expected precision@k of one query: relevant items among the k nearest, over k."""
    return expected_hits(distances, relevant, k) / k


def recall_at(distances: Real, true_neighbours: NDArray[np.integer], k: int) -> float:
    """Expected recall m@k of one query: the share of its m true neighbours among the k nearest."""
    relevant = np.zeros(len(distances), bool)
    relevant[true_neighbours] = True
    return expected_hits(distances, relevant, k) / len(true_neighbours)


def average_precision(distances: Real, relevant: NDArray[np.bool_], depth: int | None = None) -> float:
    """Expected average precision of one query, over the first `depth` ranks (all when None).

    Within a group of n tied items of which r are relevant, after `before` items and `seen` relevant ones, the
    item at place i is relevant with probability r / n and then has on average (i - 1)(r - 1) / (n - 1)
    relevant group members ahead of it. The sum is divided by min(all relevant, depth).
    """
    total = int(relevant.sum())
    if total == 0:
        return 0.0
    depth = len(distances) if depth is None else min(depth, len(distances))
    value, before, seen = 0.0, 0, 0
    for size, hits in zip(*_tie_groups(distances, relevant), strict=True):
        if before >= depth:
            break
        if hits:
            place = np.arange(1, min(size, depth - before) + 1)
            ahead = (place - 1) * ((hits - 1) / (size - 1) if size > 1 else 0.0)
            value += float(np.sum((seen + 1 + ahead) / (before + place))) * hits / size
        before, seen = before + int(size), seen + int(hits)
    return value / min(total, depth)


def bit_entropy(codes: Codes) -> float:
    """Mean over the bits of the entropy of the bit's share of ones: 1.0 where all are balanced."""
    share = unpack(codes).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(share * np.log2(share)) - np.nan_to_num((1 - share) * np.log2(1 - share))
    return float(entropy.mean())


def distinct_share(codes: Codes) -> float:
    """Number of distinct codes over the number of codes."""
    return len(np.unique(codes, axis=0)) / len(codes)
