"""Exact nearest neighbours by float L2 distance: the truth that recall is held to."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from models.rows import Rows, blocks

QUERIES = 1000
BASE = 16_384


def nearest(
    queries: NDArray[np.float32],
    base: Rows,
    k: int,
    itself: bool = False,
    track: Callable[[Iterable[int]], Iterable[int]] = lambda starts: starts,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows (m, k) int64 of the k nearest of base (n, d) for queries (m, d), nearest first, and their distances.

    Distances (m, k) float32 are squared L2. With `itself`, query i is base row i and is left out of its own answer.
    `track` wraps the loop over blocks of queries, to show progress.
    """
    k = min(k, len(base) - itself)
    # Far from the origin, squares in single precision would drown the differences between them.
    origin = queries.mean(axis=0, dtype=np.float64).astype(np.float32) if len(queries) else np.float32(0)
    found = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    for start in track(range(0, len(queries), QUERIES)):
        shifted = queries[start : start + QUERIES] - origin
        rows, near = _nearest(shifted, base, k, start if itself else None, origin)
        near += np.einsum("ij,ij->i", shifted, shifted)[:, None]
        found[start : start + QUERIES], distances[start : start + QUERIES] = rows, near
    return found, distances


def _nearest(
    queries: NDArray[np.float32],
    base: Rows,
    k: int,
    itself: int | None,
    origin: NDArray[np.float32] | np.float32,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows, best = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    offset = 0
    for block in blocks(base, BASE):
        shifted = block - origin
        far = np.einsum("ij,ij->i", shifted, shifted) - 2.0 * (queries @ shifted.T)
        if itself is not None:
            own = np.arange(itself, itself + len(queries)) - offset
            inside = np.flatnonzero((own >= 0) & (own < len(block)))
            far[inside, own[inside]] = np.inf
        numbers = np.broadcast_to(np.arange(offset, offset + len(block)), far.shape)
        far, numbers = np.hstack([best, far]), np.hstack([rows, numbers])
        if far.shape[1] > k:
            kept = np.argpartition(far, k - 1, axis=1)[:, :k]
            far, numbers = np.take_along_axis(far, kept, 1), np.take_along_axis(numbers, kept, 1)
        rows, best = numbers, far
        offset += len(block)
    order = np.argsort(best, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), np.take_along_axis(best, order, 1)
