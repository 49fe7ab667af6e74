"""The follower: brings every collection's index up to what the store holds before it is searched."""

import threading
from itertools import groupby
from operator import itemgetter

import numpy as np

from service.index.flat import FlatIndex, Snapshot
from service.store.reader import Reader


class Follower:
    """One per process. Remembers the last sequence number and removal that it applied, for all collections at once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._indexes: dict[int, FlatIndex] = {}
        self._version: int | None = None
        self._sequence = 0
        self._removal = 0

    def snapshot(self, collection: int, bits: int) -> Snapshot:
        """The collection's index with every write in it that was committed, by any process, before this call."""
        with self._lock:
            self._follow()
            index = self._indexes.get(collection)
            return (FlatIndex(bits) if index is None else index).snapshot()

    def catch_up(self) -> None:
        """Apply what was committed before this call, to all collections."""
        with self._lock:
            self._follow()

    def _follow(self) -> None:
        version = self._reader.version()
        if version != self._version:
            self._apply_changes()
            # Only now: a failed read is tried again. A write since then has changed the version once more.
            self._version = version

    def _apply_changes(self) -> None:
        changes = self._reader.changes(self._sequence, self._removal)
        for deleted in self._indexes.keys() - changes.collections:
            del self._indexes[deleted]
        # Additions first: an item may have come and gone since the last look, or its removal been noted since.
        for collection, rows in groupby(sorted(changes.added, key=itemgetter(0)), key=itemgetter(0)):
            _, sequences, codes = zip(*rows, strict=True)
            packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)
            index = self._indexes.setdefault(collection, FlatIndex(packed.shape[1] * 8))
            index.append(np.array(sequences, np.int64), packed)
        for collection, removals in groupby(sorted(changes.removed, key=itemgetter(0)), key=itemgetter(0)):
            if collection in self._indexes:
                self._indexes[collection].remove(np.array([sequence for _, sequence, _ in removals], np.int64))
        if changes.added:
            self._sequence = changes.added[-1][1]
        if changes.removed:
            self._removal = changes.removed[-1][2]
