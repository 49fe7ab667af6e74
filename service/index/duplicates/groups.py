"""Groups of near-duplicates: what is connected within a distance, in an order that tells what duplicates what."""

import heapq
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from models.codes import Codes
from models.errors import InvalidInputError
from service.index.duplicates.buckets import Numbers, Pairs, as_words, joined
from service.index.duplicates.forest import NUMBER_BITS, components
from service.index.duplicates.steps import Compared, forest
from service.untold import untold


class Listed(NamedTuple):
    """An item of a group: the nearest of those listed before it, and how far that is; the first one has neither."""

    number: int
    of: int | None
    distance: int


class Groups:
    """Connected components of two items or more, from a minimum spanning forest over (n,) items."""

    def __init__(self, items: int, edges: Pairs) -> None:
        labels = components(items, edges)
        self._firsts = np.unique(labels[edges.first])
        ends = np.concatenate([edges.first, edges.second])
        others = np.concatenate([edges.second, edges.first])
        distances = np.concatenate([edges.distances, edges.distances])
        # The edges of each item, nearest first.
        order = np.lexsort((np.maximum(ends, others), np.minimum(ends, others), distances, ends))
        self._starts = np.searchsorted(ends[order], np.arange(items + 1))
        self._others = others[order].astype(np.int32)
        self._distances = distances[order]

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def firsts(self) -> Numbers:
        """The smallest number of each group, ascending."""
        return self._firsts

    def members(self, group: int) -> Iterator[Listed]:
        """A group's items in Prim's order: from the smallest number on, always the pair that comes first.

        Pairs are in the order (distance, smaller number, larger number).
        """
        # Read one by one: what NumPy gives takes several times as long.
        starts, others, distances = self._starts.data, self._others.data, self._distances.data
        first = int(self._firsts[group])
        # Of each item that is listed the next edge: (distance, smaller, larger, its place, whose it is, where it came).
        heap: list[tuple[int, int, int, int, int, int]] = []

        def push(place: int, item: int, came_from: int) -> None:
            if place < starts[item + 1] and others[place] == came_from:
                place += 1
            if place < starts[item + 1]:
                other = others[place]
                pair = (item, other) if item < other else (other, item)
                heapq.heappush(heap, (distances[place], *pair, place, item, came_from))

        yield Listed(first, None, 0)
        push(starts[first], first, -1)
        while heap:
            distance, smaller, larger, place, item, came_from = heapq.heappop(heap)
            other = smaller + larger - item
            yield Listed(other, item, distance)
            push(place + 1, item, came_from)
            push(starts[other], other, item)


def find(codes: Codes, distance: int, going: Callable[[], None], compared: Compared = untold) -> Groups:
    """Groups of codes (n, bits / 8) connected within `distance` (inclusive), each item numbered by its row.

    `going` is called again and again, within a tenth of a second or so each; what it raises ends the work. `compared`
    is told which share of it is done. Raises InvalidInputError where it would take too long.
    """
    if len(codes) > 2**NUMBER_BITS:
        detail = f"expected a collection of at most {2**NUMBER_BITS} items, got {len(codes)}"
        raise InvalidInputError(detail, "collection")
    firsts, edges = _identical(codes)
    if distance and len(firsts) > 1:
        going()
        near = forest(codes[firsts], distance, going, compared)
        edges = joined([edges, Pairs(firsts[near.first], firsts[near.second], near.distances)])
    going()
    compared(1.0)
    return Groups(len(codes), edges)


def _identical(codes: Codes) -> tuple[Numbers, Pairs]:
    """The first row of each different code, ascending, and the pairs of it with all others of that code."""
    words = as_words(codes)
    order = np.lexsort(words)
    new = np.ones(len(order), bool)
    new[1:] = (words[:, order[1:]] != words[:, order[:-1]]).any(axis=0)
    # A stable sort: the first row of a code comes first.
    first = order[new][np.cumsum(new) - 1]
    others = ~new
    return np.sort(order[new]), Pairs(first[others], order[others], np.zeros(np.count_nonzero(others), np.int32))
