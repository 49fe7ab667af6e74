"""Exact nearest neighbours by float L2 distance: the graph that training walks, the truth that recall is held to."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

BLOCK = 500


def nearest(
    queries: NDArray[np.float32],
    base: NDArray[np.float32],
    k: int,
    itself: bool = False,
    track: Callable[[Iterable[int]], Iterable[int]] = lambda blocks: blocks,
) -> NDArray[np.int64]:
    """Rows of the k nearest of base (n, d) for each of queries (m, d), as (m, k) int64, nearest first.

    With `itself`, query i is base row i and is left out of its own answer. `track` wraps the loop over blocks
    of queries, to show progress.
    """
    k = min(k, len(base) - itself)
    squares = np.einsum("ij,ij->i", base, base)
    found = np.empty((len(queries), k), np.int64)
    for start in track(range(0, len(queries), BLOCK)):
        block = queries[start : start + BLOCK]
        distances = squares - 2.0 * (block @ base.T)
        if itself:
            distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        rows = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, rows, 1), axis=1, kind="stable")
        found[start : start + BLOCK] = np.take_along_axis(rows, order, 1)
    return found
