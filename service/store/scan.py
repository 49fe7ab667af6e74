"""A filter over a whole collection, evaluated in slices: each is a short read of its own, which pins no snapshot.

A sequence number is given once and its item never changes, so what one slice found stays true: a later change of the
item gives it another number, which a later slice looks at.
"""

import threading
from collections.abc import Sequence
from time import monotonic, thread_time

import numpy as np
from numpy.typing import NDArray

from service.filters import Condition
from service.store.filtering import compile_filter
from service.store.reader import Reader

SLICE_SECONDS = 0.05
# Sequence numbers that one statement looks at: the first time, at most, and at least, as each statement takes some
# milliseconds by itself; fewer only after one was broken off.
FIRST_SPAN, LONGEST_SPAN, SHORTEST_SPAN = 512, 2**16, 64
# How the number grows or shrinks from one statement to the next.
GROWTH, SHRINKING = 4, 0.5
# A statement that takes this many times as long as a slice is broken off, and looks at fewer items the next time.
PATIENCE = 2
Sequences = NDArray[np.int64]


class Scan:
    """Finds the items of one collection that a filter lets through; several threads may take its steps by turns."""

    def __init__(
        self, collection: int, condition: Condition, after: int = 0, by_ids: bool = False, verified: bool = False
    ) -> None:
        """Look at sequence numbers above `after`.

        `by_ids` walks the ids of the collection instead of all sequence numbers, which is faster where most items of
        the database belong to other collections. `verified` verifies the checksum of each item that is let through.
        """
        self.collection, self.compiled = collection, compile_filter(condition)
        self._verified = verified
        self._lock = threading.Lock()
        self._highest = self._after = after
        self._by_ids = by_ids
        self._last_id = ""
        self._until: int | None = None
        self._span = FIRST_SPAN
        self._found: list[tuple[int, NDArray[np.uint8] | NDArray[np.uint32]]] = []
        self._count = 0

    @property
    def highest(self) -> int:
        """All items with sequence numbers up to this one were looked at."""
        return self._highest

    @property
    def count(self) -> int:
        """How many items were found by now."""
        return self._count

    def found(self) -> Sequences:
        """The sequence numbers (n,) int64 found so far, ascending; some items may be gone by now."""
        with self._lock:
            parts = [_unpacked(*each) for each in self._found]
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def step(self, reader: Reader, seconds: float = SLICE_SECONDS) -> bool:
        """Look on for about so long; returns whether every item was looked at that was there when this ended."""
        with self._lock:
            deadline = monotonic() + seconds
            while True:
                # Processor time: a machine that is busy otherwise must not make each statement do less.
                started = thread_time()
                done = self._by_id(reader, seconds) if self._by_ids else self._by_sequence(reader, seconds)
                if done:
                    return True
                if done is None:
                    self._span = max(1, self._span // 8)
                else:
                    self._adapt(seconds / PATIENCE / max(thread_time() - started, 1e-6))
                if monotonic() >= deadline:
                    return False

    def _adapt(self, factor: float) -> None:
        """Look at as many times so many numbers with the next statement, within bounds."""
        if self._span < SHORTEST_SPAN:
            # What made a statement take long may be past.
            factor = max(2, factor)
        self._span = int(min(LONGEST_SPAN, self._span * min(GROWTH, max(SHRINKING, factor))))
        self._span = max(self._span, SHORTEST_SPAN if factor < 1 else 1)

    def _by_sequence(self, reader: Reader, seconds: float) -> bool | None:
        """Look at the next sequence numbers; None where that took too long and was broken off."""
        # One that is looked at alone takes what it takes.
        patience = seconds * PATIENCE if self._span > 1 else None
        looked = reader.matching_between(
            self.collection, self.compiled, self._highest, self._span, patience, self._verified
        )
        if looked is None:
            return None
        self._keep(looked.sequences, self._highest)
        self._highest = looked.last
        return looked.is_end

    def _by_id(self, reader: Reader, seconds: float) -> bool | None:
        """Look at the next ids. Once all are looked at, go on by sequence number with what came meanwhile."""
        if self._until is None:
            self._until = reader.highest()
        patience = seconds * PATIENCE if self._span > 1 else None
        bounds = (self._after, self._until)
        looked = reader.matching_by_id(
            self.collection, self.compiled, self._last_id, bounds, self._span, patience, self._verified
        )
        if looked is None:
            return None
        sequences, last_id = looked
        for each in _near(sequences):
            self._keep(each, int(each[0]) - 1)
        if last_id is not None:
            self._last_id = last_id
            return False
        self._by_ids, self._highest = False, self._until
        return self._by_sequence(reader, seconds)

    def _keep(self, sequences: Sequences, base: int) -> None:
        if len(sequences):
            self._found.append(_packed(sequences, base))
            self._count += len(sequences)


def _near(sequences: Sequences) -> Sequence[Sequences]:
    """The numbers, ascending, in parts whose numbers lie near to each other."""
    sequences = np.sort(sequences)
    groups = (sequences - sequences[:1]) // LONGEST_SPAN if len(sequences) else sequences
    return [part for part in np.split(sequences, np.flatnonzero(np.diff(groups)) + 1) if len(part)]


def _packed(sequences: Sequences, base: int) -> tuple[int, NDArray[np.uint8] | NDArray[np.uint32]]:
    """A bit for each number above `base`, or 4 bytes for each that was found, whichever is less."""
    offsets = (sequences - base - 1).astype(np.uint32)
    length = int(offsets.max()) + 1
    if len(offsets) * 32 <= length:
        return base, offsets
    bits = np.zeros(length, np.uint8)
    bits[offsets] = 1
    return base, np.packbits(bits)


def _unpacked(base: int, kept: NDArray[np.uint8] | NDArray[np.uint32]) -> Sequences:
    offsets = np.flatnonzero(np.unpackbits(kept.astype(np.uint8, copy=False))) if kept.dtype == np.uint8 else kept
    return offsets.astype(np.int64) + base + 1
