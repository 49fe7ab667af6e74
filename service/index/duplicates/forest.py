"""The minimum spanning forest of near pairs: all that single linkage needs of them, in bounded memory.

Pairs are in the order (distance, first, second), which has no ties, so that there is one such forest whatever order
the pairs are found in. It has at most an edge an item; of a pair that closes a cycle, the last pair of that cycle is in
no minimum spanning forest, and is dropped.
"""

import numpy as np
from numpy.typing import NDArray

from service.index.duplicates.buckets import NO_PAIRS, Numbers, Pairs, joined

PENDING = 2**20
# Of what is connected, so many distances are noted: a label an item each.
LEVELS = 8
# A pair and its distance, 12 bits at most, as one number of 64 bits.
NUMBER_BITS = 26


class Forest:
    """Takes pairs of items, numbered below `items`, in any order, as often as they come."""

    def __init__(self, items: int, distance: int, edges: Pairs = NO_PAIRS) -> None:
        """`distance` is the largest there will be, `edges` is the forest of pairs that were taken before."""
        self._items = items
        self._edges = edges
        self._pending: list[Pairs] = []
        self._waiting = 0
        self._labels = np.tile(np.arange(items, dtype=np.int32), (min(LEVELS, distance), 1))
        self._first_level = distance - len(self._labels) + 1
        self._label()

    def add(self, pairs: Pairs) -> None:
        """Take up pairs."""
        pairs = pairs.take(~self._superfluous(pairs)) if len(pairs.first) else pairs
        if len(pairs.first):
            self._pending.append(pairs)
            self._waiting += len(pairs.first)
        if self._waiting > PENDING:
            self._grow()

    def edges(self) -> Pairs:
        """The forest of all pairs so far."""
        self._grow()
        return self._edges

    def _superfluous(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Whether two items are known to be connected by nearer pairs."""
        level = pairs.distances - self._first_level
        known = level >= 0
        level = np.maximum(level, 0)
        known &= self._labels[level, pairs.first] == self._labels[level, pairs.second]
        return known

    def _grow(self) -> None:
        if self._pending:
            self._edges = spanning(self._items, joined([self._edges, *self._pending]))
            self._pending, self._waiting = [], 0
            self._label()

    def _label(self) -> None:
        for number, labels in enumerate(self._labels):
            nearer = self._edges.take(self._edges.distances < self._first_level + number)
            labels[:] = components(len(labels), nearer)


def spanning(items: int, pairs: Pairs) -> Pairs:
    """The minimum spanning forest of pairs by (distance, first, second), in that order (Borůvka 1926)."""
    pairs = _sorted(pairs)
    left, right, edges = pairs.first, pairs.second, np.arange(len(pairs.first))
    chosen = np.zeros(len(left), bool)
    while True:
        apart = left != right
        left, right, edges = left[apart], right[apart], edges[apart]
        if not len(edges):
            return pairs.take(chosen)
        trees, nearest = _nearest(left, right, items)
        chosen[edges[nearest]] = True
        above = np.arange(items)
        above[trees] = left[nearest] + right[nearest] - trees
        # Two trees that have chosen the same edge point at each other: the first stays a root.
        both = trees[(above[above[trees]] == trees) & (trees < above[trees])]
        above[both] = both
        _flatten(above)
        left, right = above[left], above[right]


def components(items: int, pairs: Pairs) -> Numbers:
    """For each item the smallest number among all that pairs connect it with, (items,) int64."""
    labels = np.arange(items)
    first, second = pairs.first, pairs.second
    while True:
        first, second = labels[first], labels[second]
        apart = first != second
        first, second = first[apart], second[apart]
        if not len(first):
            return labels
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        _flatten(labels)


def _nearest(left: Numbers, right: Numbers, trees: int) -> tuple[Numbers, Numbers]:
    """The trees that have an edge, and the place of the first edge of each."""
    places = np.arange(len(left))
    nearest = np.full(trees, len(left))
    for ends in (left, right):
        first = np.full(trees, len(left))
        # Backwards: what is assigned last, stays.
        first[ends[::-1]] = places[::-1]
        np.minimum(nearest, first, out=nearest)
    found = np.flatnonzero(nearest < len(left))
    return found, nearest[found]


def _sorted(pairs: Pairs) -> Pairs:
    """Each pair once, by (distance, first, second): as one number each, several times as quick as by three."""
    number, low = np.uint64(NUMBER_BITS), np.uint64(2**NUMBER_BITS - 1)
    first, second, distances = (column.astype(np.uint64) for column in pairs)
    keys = np.sort(((distances << number | first) << number) | second)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    first, second = keys >> number & low, keys & low
    return Pairs(first.astype(np.int64), second.astype(np.int64), (keys >> number >> number).astype(np.int32))


def _flatten(above: Numbers) -> None:
    """Have all point at their roots."""
    while not np.array_equal(further := above[above], above):
        above[:] = further
