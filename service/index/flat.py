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
from service.index.cores import ONE_CORE, Cores
from service.index.ivf import Ivf
from service.index.snapshot import UNKNOWN, Columns, Snapshot

FIRST_CAPACITY = 1024
COMPACT_FROM = 1024
ORDER_FROM = 1024
ALIVE = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Compacted:
    """The live rows of a snapshot, copied, to be adopted in place of the first `size` rows."""

    rows: NDArray[np.int64]
    codes: Codes
    sequences: NDArray[np.int64]
    size: int


class FlatIndex:
    """Codes in the order of their sequence numbers; one thread at a time may change it or take a snapshot."""

    def __init__(self, bits: int, cores: Cores = ONE_CORE) -> None:
        self._cores = cores
        self._columns = _empty(FIRST_CAPACITY, bits // 8)
        self._size = 0
        self._removed = 0
        self._epoch = 0
        self._unordered = 0

    def __len__(self) -> int:
        return self._size - self._removed

    @property
    def memory_bytes(self) -> int:
        """What its rows take."""
        return self._size * sum(column[:1].nbytes for column in self._columns.each())

    def snapshot(self, ivf: Ivf | None = None) -> Snapshot:
        """The index as it is now: later appends and removals do not show in it. Copies nothing."""
        return Snapshot(self._columns, self._size, self._removed, self._epoch, ivf, self._cores)

    def append(self, sequences: NDArray[np.int64], codes: Codes) -> None:
        """Add codes (n, bits / 8) with their sequence numbers (n,), ascending and above all before."""
        needed = self._size + len(codes)
        if needed > len(self._columns.codes):
            # New arrays: snapshots keep the old ones.
            self._columns = _copied(self._columns, self._size, max(needed, 2 * len(self._columns.codes)))
        new = slice(self._size, needed)
        for column, values in zip(self._columns.each(), (codes, sequences, ALIVE, UNKNOWN), strict=True):
            column[new] = values
        self._size = needed
        self._unordered += len(codes)

    def remove(self, sequences: NDArray[np.int64]) -> None:
        """Mark items removed by sequence number; numbers that are not here are passed over."""
        known, died = self._columns.sequences[: self._size], self._columns.died
        sequences = np.unique(sequences)
        rows = np.searchsorted(known, sequences)
        inside = rows < self._size
        rows = rows[inside][known[rows[inside]] == sequences[inside]]
        rows = rows[died[rows] == ALIVE]
        self._epoch += 1
        died[rows] = self._epoch
        self._removed += len(rows)

    @property
    def wants_compaction(self) -> bool:
        """Whether so many rows are dead that searches begin to notice."""
        return self._removed > max(COMPACT_FROM, self._size // 100)

    def adopt(self, compacted: Compacted) -> None:
        """Take on the copied rows; what was appended and removed since the snapshot is carried over."""
        new = self._size - compacted.size
        kept = len(compacted.rows)
        before, self._size = self._columns, kept + new
        columns = _empty(max(FIRST_CAPACITY, self._size + self._size // 8), before.codes.shape[1])
        copied = (
            compacted.codes,
            compacted.sequences,
            before.died[compacted.rows],
            before.order[compacted.rows],
        )
        for column, values, now in zip(columns.each(), copied, before.each(), strict=True):
            column[:kept] = values
            column[kept : self._size] = now[compacted.size : compacted.size + new]
        self._columns = columns
        self._removed = int(np.count_nonzero(columns.died[: self._size] != ALIVE))

    @property
    def wants_order(self) -> bool:
        """Whether so many items are new that ties among them are worth ordering ahead."""
        return self._unordered > max(ORDER_FROM, self._size // 4)

    def order(self, by_id: NDArray[np.int64], last: int) -> None:
        """Note the places of items in the order of their ids, from their sequence numbers (n,) in that order.

        `last` was the highest number here before these were read.
        """
        known = self._columns.sequences[: self._size]
        rows = np.minimum(np.searchsorted(known, by_id), max(0, self._size - 1))
        here = known[rows] == by_id if self._size else np.zeros(len(by_id), bool)
        order = np.full(len(self._columns.order), UNKNOWN, np.uint32)
        order[rows[here]] = np.flatnonzero(here)
        # A new array: a search that is under way goes by the old one.
        self._columns = self._columns._replace(order=order)
        # One that came before, and has no place, is gone from the store: to read that again would not give it any.
        later = int(np.searchsorted(known, last, "right"))
        self._unordered = int(np.count_nonzero(order[later : self._size] == UNKNOWN))


def compact(snapshot: Snapshot) -> Compacted:
    """Copy the live rows of a snapshot: the long part of a compaction, while the index goes on."""
    rows = np.flatnonzero(snapshot.columns.died[: snapshot.size] > snapshot.epoch)
    return Compacted(rows, snapshot.columns.codes[rows], snapshot.columns.sequences[rows], snapshot.size)


def latest(snapshot: Snapshot, most: int) -> tuple[NDArray[np.int64], Codes]:
    """Sequence numbers (n,) and codes (n, bits / 8) of the `most` live items that came last, in their order."""
    rows = np.flatnonzero(snapshot.columns.died[: snapshot.size] > snapshot.epoch)[-most:]
    return snapshot.columns.sequences[rows], snapshot.columns.codes[rows]


def _empty(capacity: int, code_bytes: int) -> Columns:
    return Columns(
        np.empty((capacity, code_bytes), np.uint8),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.uint32),
    )


def _copied(columns: Columns, size: int, capacity: int) -> Columns:
    larger = _empty(capacity, columns.codes.shape[1])
    for to, column in zip(larger.each(), columns.each(), strict=True):
        to[:size] = column[:size]
    return larger
