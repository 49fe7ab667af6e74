"""One collection's index: its codes, the IVF index over them where one is wanted, and the upkeep of both."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.index import ivf, sizes
from service.index.cores import ONE_CORE, Cores
from service.index.flat import FlatIndex, compact
from service.index.snapshot import Snapshot
from service.store.schema import IndexSettings
from service.untold import untold

REBUILD_FROM = 4096
# How many items are in an index that is built.
Reached = Callable[[int], None]
# `with building(lists, items) as reached:` round each build of an index.
Building = Callable[[int, int], AbstractContextManager[Reached]]


def unseen(lists: int, items: int) -> AbstractContextManager[Reached]:
    """Where nobody wants to know."""
    return nullcontext(untold)


@dataclass(frozen=True)
class IndexState:
    """What is in memory of a collection: live items, dead rows until the next compaction, bytes, the IVF if any."""

    count: int
    removed: int
    memory_bytes: int
    settings: IndexSettings
    building: bool
    ivf: ivf.Ivf | None
    # Lists and probes of an IVF index that is not in memory here.
    elsewhere: tuple[int, int] | None = None


class CollectionIndex:
    """Safe to use from many threads: changes and snapshots take turns and are short; searches use snapshots."""

    def __init__(self, bits: int, settings: IndexSettings, cores: Cores = ONE_CORE) -> None:
        self._lock = threading.Lock()
        self._flat = FlatIndex(bits, cores)
        self._settings = settings
        self._last = 0
        self._ivf: ivf.Ivf | None = None
        self._building = False

    def configure(self, settings: IndexSettings) -> None:
        """Be searched by other settings from now on."""
        with self._lock:
            if settings != self._settings:
                self._settings, self._ivf = settings, None

    def append(self, sequences: NDArray[np.int64], codes: Codes) -> None:
        """Add codes (n, bits / 8) with their sequence numbers (n,), ascending; known ones are passed over."""
        with self._lock:
            # A read that broke off midway is done again from its start.
            new = sequences > self._last
            if new.any():
                self._flat.append(sequences[new], codes[new])
                self._last = int(sequences[-1])

    def remove(self, sequences: NDArray[np.int64]) -> None:
        """Remove items by sequence number; numbers that are not here are passed over."""
        with self._lock:
            self._flat.remove(sequences)

    def snapshot(self) -> Snapshot:
        """The index as it is now."""
        with self._lock:
            return self._flat.snapshot(self._ivf)

    def state(self) -> IndexState:
        """What is known of it."""
        with self._lock:
            held = self._flat.memory_bytes + (self._ivf.memory_bytes if self._ivf else 0)
            now = self._flat.snapshot()
            return IndexState(now.live, now.removed, held, self._settings, self._building, self._ivf)

    def wants_upkeep(self) -> bool:
        """Whether `keep_up` would do anything."""
        with self._lock:
            wants = self._flat.wants_compaction or self._flat.wants_order
            return wants or self._wants_ivf() or self._wants_ivf_no_more()

    def keep_up(self, by_id: Callable[[], NDArray[np.int64]], building: Building = unseen) -> None:
        """Compact, order and build what is wanted; for one thread in the background, while all else goes on.

        `by_id` reads the sequence numbers of the collection's items in the order of their ids. `building` is told of
        each build of an IVF index.
        """
        with self._lock:
            before = self._flat.snapshot() if self._flat.wants_compaction else None
        if before is not None:
            compacted = compact(before)
            with self._lock:
                self._flat.adopt(compacted)
        if self._flat.wants_order:
            last = self.snapshot().last
            ordered = by_id()
            with self._lock:
                self._flat.order(ordered, last)
        self._build_ivf(building)

    def _build_ivf(self, building: Building) -> None:
        with self._lock:
            if self._wants_ivf_no_more():
                self._ivf = None
            self._building = self._wants_ivf()
            settings, built, now = self._settings, self._ivf, self._flat.snapshot()
        if self._building:
            try:
                with building(*_size(now, settings)) as reached:
                    made = _build(now, settings, built, reached)
                    with self._lock:
                        if settings == self._settings:
                            self._ivf = made
            finally:
                self._building = False

    def _wants_ivf(self) -> bool:
        least = sizes.least(self._settings, self._ivf is not None)
        if least is None or len(self._flat) < least:
            return False
        if self._ivf is None:
            return True
        now = self._flat.snapshot()
        held = int(np.searchsorted(now.columns.sequences[: now.size], self._ivf.last, "right"))
        later, gone = now.size - held, self._ivf.size - held
        return later + gone > max(REBUILD_FROM, self._ivf.size // 20)

    def _wants_ivf_no_more(self) -> bool:
        least = sizes.least(self._settings, built=True)
        return self._ivf is not None and least is not None and len(self._flat) < least


def _size(now: Snapshot, settings: IndexSettings) -> tuple[int, int]:
    """How many lists an IVF index of it has, and items."""
    return settings.lists or ivf.lists_for(now.live), now.live


def _build(now: Snapshot, settings: IndexSettings, before: ivf.Ivf | None, reached: Reached) -> ivf.Ivf:
    live = compact(now)
    return ivf.build(live.codes, live.sequences, settings.lists, settings.probes, before, reached)
