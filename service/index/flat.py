"""Exact search over codes in memory, safe to read while it grows.

FAISS crashes when one index is added to and searched at once. So the codes live in an array that is only ever
appended to, and a search runs FAISS's brute force over the rows that were complete when it began: readers
take a snapshot (an array and a length), need no lock, and a growing array is replaced, never moved.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from models.codes import Codes

FIRST_CAPACITY = 1024
SLACK = 64


@dataclass(frozen=True)
class Snapshot:
    """Rows [0, size) of an index as they were at one moment; `dead` marks the removed ones."""

    codes: Codes
    sequences: NDArray[np.int64]
    dead: NDArray[np.bool_]
    size: int
    removed: int

    @property
    def live(self) -> int:
        """How many items are in it."""
        return self.size - self.removed

    def nearest(self, query: Codes, limit: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Distances and sequence numbers of the `limit` nearest live items **and all tied with the last**.

        `query` is (bits / 8,) uint8. Sorted by distance; the caller, who knows the ids, orders and cuts ties.
        """
        wanted = min(limit, self.live)
        if wanted <= 0:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        # Room for ties and removed rows: with it, one pass nearly always holds every tie of the last place.
        k = min(self.size, 2 * wanted + SLACK)
        distances, rows = self._search(query, k)
        alive = ~self.dead[rows]
        if np.count_nonzero(alive) < wanted:
            k = min(self.size, wanted + self.removed)
            distances, rows = self._search(query, k)
            alive = ~self.dead[rows]
        last = int(distances[alive][wanted - 1])
        if k < self.size and last == distances[-1]:
            return self.within(query, last)
        chosen = alive & (distances <= last)
        return distances[chosen], self.sequences[rows[chosen]]

    def within(self, query: Codes, max_distance: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Distances and sequence numbers of every live item within `max_distance`, nearest first."""
        if self.size == 0:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        found = faiss.RangeSearchResult(1)
        query, codes = np.ascontiguousarray(query), self.codes[: self.size]
        # FAISS's radius is exclusive.
        faiss.hamming_range_search(  # type: ignore[attr-defined]  # SWIG adds it when imported
            faiss.swig_ptr(query),
            faiss.swig_ptr(codes),
            1,
            self.size,
            max_distance + 1,
            codes.shape[1],
            found,
        )
        count = int(faiss.rev_swig_ptr(found.lims, 2)[1])
        if count == 0:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        rows = faiss.rev_swig_ptr(found.labels, count).copy()
        distances = faiss.rev_swig_ptr(found.distances, count).astype(np.int32)
        alive = ~self.dead[rows]
        rows, distances = rows[alive], distances[alive]
        order = np.argsort(distances, kind="stable")
        return distances[order], self.sequences[rows[order]]

    def _search(self, query: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        distances, rows = faiss.knn_hamming(query[None], self.codes[: self.size], k)
        order = np.argsort(distances[0], kind="stable")
        return distances[0][order], rows[0][order]


class FlatIndex:
    """Codes in the order of their sequence numbers; appends and removals come from one thread at a time."""

    def __init__(self, bits: int) -> None:
        self._codes: Codes = np.empty((FIRST_CAPACITY, bits // 8), np.uint8)
        self._sequences = np.empty(FIRST_CAPACITY, np.int64)
        self._dead = np.zeros(FIRST_CAPACITY, bool)
        self._size = 0
        self._removed = 0

    def __len__(self) -> int:
        return self._size - self._removed

    def snapshot(self) -> Snapshot:
        """The index as it is now: later appends and removals do not show in it."""
        size = self._size
        dead = self._dead[:size].copy() if self._removed else np.broadcast_to(np.False_, size)
        return Snapshot(self._codes, self._sequences, dead, size, self._removed)

    def append(self, sequences: NDArray[np.int64], codes: Codes) -> None:
        """Add codes (n, bits / 8) with their sequence numbers (n,), ascending and above all before."""
        needed = self._size + len(codes)
        if needed > len(self._codes):
            self._grow(max(needed, 2 * len(self._codes)))
        self._codes[self._size : needed] = codes
        self._sequences[self._size : needed] = sequences
        self._size = needed

    def remove(self, sequences: NDArray[np.int64]) -> None:
        """Mark items removed by sequence number; numbers that are not here are passed over."""
        known = self._sequences[: self._size]
        rows = np.searchsorted(known, sequences)
        rows = rows[rows < self._size]
        rows = rows[np.isin(known[rows], sequences)]
        self._dead[rows] = True
        self._removed = int(np.count_nonzero(self._dead[: self._size]))
        if self._removed > max(FIRST_CAPACITY, self._size // 10):
            self._compact()

    def _grow(self, capacity: int) -> None:
        # New arrays: snapshots keep the old ones.
        kept = self._size
        codes = np.empty((capacity, self._codes.shape[1]), np.uint8)
        sequences, dead = np.empty(capacity, np.int64), np.zeros(capacity, bool)
        codes[:kept], sequences[:kept], dead[:kept] = (
            self._codes[:kept],
            self._sequences[:kept],
            self._dead[:kept],
        )
        self._codes, self._sequences, self._dead = codes, sequences, dead

    def _compact(self) -> None:
        live = ~self._dead[: self._size]
        self._codes, self._sequences = self._codes[: self._size][live], self._sequences[: self._size][live]
        self._size, self._removed = len(self._codes), 0
        self._dead = np.zeros(self._size, bool)
