"""Removing near-copies: groups of items that a method joins, and how many of the removals are right.

One item of each group is kept and the rest is removed, so a group of n items means n - 1 removals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from scripts.quality.natural import Pairs

PRECISION = 0.98
"""What the threshold is chosen for: as much recall as possible at this precision."""

Groups = NDArray[np.intp]
"""The number (n,) of the group that each item is in."""


@dataclass(frozen=True)
class Removal:
    """Shares of the injected copies that are joined with their originals, and of the removals that are right.

    `found` (c,) says which injected copies are. `removed` is how many items would go; `largest` the biggest group.
    """

    recall: float
    precision: float
    removed: int
    largest: int
    found: NDArray[np.bool_]


def join(items: int, pairs: Pairs) -> Groups:
    """Groups of items that pairs (m, 2) connect, directly or through others."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(items, items)).tocsr()
    groups: Groups = connected_components(graph, directed=False)[1].astype(np.intp)
    return groups


def judge(groups: Groups, true: Pairs, injected: Pairs) -> Removal:
    """Hold groups to the `true` pairs (m, 2), natural and injected ones; `injected` (c, 2) are original and copy.

    Within a group, the true pairs leave so many parts of which one item each should have been kept: the other
    removals are right.
    """
    items = len(groups)
    same = true[groups[true[:, 0]] == groups[true[:, 1]]]
    parts = len(np.unique(join(items, same)))
    sizes = np.bincount(groups)
    removed, right = items - int(np.count_nonzero(sizes)), items - parts
    found = groups[injected[:, 0]] == groups[injected[:, 1]]
    precision = right / removed if removed else 1.0
    return Removal(float(found.mean()) if len(found) else 0.0, precision, removed, int(sizes.max(initial=0)), found)


def sweep(
    items: int, pairs: Pairs, distances: NDArray[np.floating], thresholds: Iterable[float]
) -> Iterator[tuple[float, Groups]]:
    """Groups of pairs (m, 2) at distances (m,) of at most each threshold, until one group has half of the items."""
    for threshold in thresholds:
        groups = join(items, pairs[distances <= threshold])
        yield threshold, groups
        if 2 * np.bincount(groups).max(initial=0) > items:
            return


def choose(curve: Iterable[tuple[float, Removal]], precision: float = PRECISION) -> float:
    """The threshold with the most recall at this precision; the most precise one where none reaches it.

    Of equal ones the first, which should be the strictest.
    """
    points = list(curve)
    precise = [(threshold, removal) for threshold, removal in points if removal.precision >= precision]
    if precise:
        return max(precise, key=lambda point: point[1].recall)[0]
    return max(points, key=lambda point: point[1].precision)[0]
