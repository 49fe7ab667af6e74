"""Codes in memory, safe to read while they grow and shrink.

FAISS crashes when one index is added to and searched at once. So the codes live in an array that is only ever
appended to, and a search runs FAISS's brute force over the rows that were complete when it began: readers
take a snapshot (arrays, a length and an epoch), and a growing array is replaced, never moved. A removed row is not
touched either: the epoch in which it died is noted, which costs the same however many rows there are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.index.ivf import Ivf
from service.index.snapshot import Snapshot

FIRST_CAPACITY = 1024
COMPACT_FROM = 1024
ALIVE = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Compacted:
    """The live rows of a snapshot, copied, to be adopted in place of all its rows."""

    rows: NDArray[np.int64]
    codes: Codes
    sequences: NDArray[np.int64]
    size: int


class FlatIndex:
    """Codes in the order of their sequence numbers; one thread at a time may change it or take a snapshot."""

    def __init__(self, bits: int) -> None:
        self._codes: Codes = np.empty((FIRST_CAPACITY, bits // 8), np.uint8)
        self._sequences = np.empty(FIRST_CAPACITY, np.int64)
        self._died = np.full(FIRST_CAPACITY, ALIVE, np.int32)
        self._size = 0
        self._removed = 0
        self._epoch = 0

    def __len__(self) -> int:
        return self._size - self._removed

    @property
    def memory_bytes(self) -> int:
        """What its rows take."""
        return self._size * int(self._codes.shape[1] + self._sequences.itemsize + self._died.itemsize)

    def snapshot(self, ivf: Ivf | None = None) -> Snapshot:
        """The index as it is now: later appends and removals do not show in it. Copies nothing."""
        return Snapshot(self._codes, self._sequences, self._died, self._size, self._removed, self._epoch, ivf)

    def append(self, sequences: NDArray[np.int64], codes: Codes) -> None:
        """Add codes (n, bits / 8) with their sequence numbers (n,), ascending and above all before."""
        needed = self._size + len(codes)
        if needed > len(self._codes):
            self._grow(max(needed, 2 * len(self._codes)))
        self._codes[self._size : needed] = codes
        self._sequences[self._size : needed] = sequences
        self._died[self._size : needed] = ALIVE
        self._size = needed

    def remove(self, sequences: NDArray[np.int64]) -> None:
        """Mark items removed by sequence number; numbers that are not here are passed over."""
        known = self._sequences[: self._size]
        sequences = np.unique(sequences)
        rows = np.searchsorted(known, sequences)
        inside = rows < self._size
        rows = rows[inside][known[rows[inside]] == sequences[inside]]
        rows = rows[self._died[rows] == ALIVE]
        self._epoch += 1
        self._died[rows] = self._epoch
        self._removed += len(rows)

    @property
    def wants_compaction(self) -> bool:
        """Whether so many rows are dead that searches begin to notice."""
        return self._removed > max(COMPACT_FROM, self._size // 100)

    def adopt(self, compacted: Compacted) -> None:
        """Take on the copied rows; what was appended and removed since the snapshot is carried over."""
        new = self._size - compacted.size
        kept = len(compacted.rows) + new
        capacity = max(FIRST_CAPACITY, kept + kept // 8)
        codes = np.empty((capacity, self._codes.shape[1]), np.uint8)
        sequences, died = np.empty(capacity, np.int64), np.empty(capacity, np.int32)
        parts = (
            (codes, compacted.codes, self._codes),
            (sequences, compacted.sequences, self._sequences),
            (died, self._died[compacted.rows], self._died),
        )
        for to, copied, now in parts:
            to[: len(compacted.rows)] = copied
            to[len(compacted.rows) : kept] = now[compacted.size : self._size]
        self._codes, self._sequences, self._died, self._size = codes, sequences, died, kept
        self._removed = int(np.count_nonzero(died[:kept] != ALIVE))

    def _grow(self, capacity: int) -> None:
        # New arrays: snapshots keep the old ones.
        kept = self._size
        codes = np.empty((capacity, self._codes.shape[1]), np.uint8)
        sequences, died = np.empty(capacity, np.int64), np.empty(capacity, np.int32)
        codes[:kept], sequences[:kept], died[:kept] = self._codes[:kept], self._sequences[:kept], self._died[:kept]
        self._codes, self._sequences, self._died = codes, sequences, died


def compact(snapshot: Snapshot) -> Compacted:
    """Copy the live rows of a snapshot: the long part of a compaction, while the index goes on."""
    rows = np.flatnonzero(snapshot.died[: snapshot.size] > snapshot.epoch)
    return Compacted(rows, snapshot.codes[rows], snapshot.sequences[rows], snapshot.size)
