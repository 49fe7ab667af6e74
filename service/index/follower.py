"""The follower: brings every collection's index up to what the store holds before it is searched."""

import threading
from itertools import groupby
from operator import itemgetter

import numpy as np

from service.index.collection import CollectionIndex, IndexState
from service.index.snapshot import Snapshot
from service.index.upkeep import Upkeep
from service.store.reader import Added, Changes, Position, Reader, Removed
from service.store.schema import CollectionRow


class Follower:
    """One per process. Remembers how far it has read, for all collections at once."""

    def __init__(self, reader: Reader, upkeep: Upkeep) -> None:
        self._reader = reader
        self._upkeep = upkeep
        self._lock = threading.Lock()
        self._indexes: dict[int, CollectionIndex] = {}
        self._rows: dict[str, CollectionRow] = {}
        self._version: int | None = None
        self._position = Position()

    def look(self, name: str) -> tuple[CollectionRow, Snapshot] | None:
        """The collection of that name with its index, or None, as of the last commit before this call."""
        with self._lock:
            self._follow()
            row = self._rows.get(name)
            return None if row is None else (row, self._indexes[row.number].snapshot())

    def snapshot(self, row: CollectionRow) -> Snapshot:
        """The collection's index with every write in it that was committed, by any process, before this call."""
        return self._index(row).snapshot()

    def state(self, row: CollectionRow) -> IndexState:
        """What is in memory of a collection, up to every write that was committed before this call."""
        return self._index(row).state()

    def catch_up(self) -> None:
        """Apply what was committed before this call, to all collections."""
        with self._lock:
            self._follow()

    def _index(self, row: CollectionRow) -> CollectionIndex:
        with self._lock:
            self._follow()
            index = self._indexes.get(row.number)
        return index or CollectionIndex(row.settings.bits, row.settings.index)

    def _follow(self) -> None:
        version = self._reader.version()
        if version != self._version:
            with self._reader.changes(self._position) as changes:
                self._apply(changes)
            # Only now: a failed read is tried again. A write since then has changed the version once more.
            self._version = version

    def _apply(self, changes: Changes) -> None:
        rows = {row.number: row for row in changes.collections}
        # What is read anew is built aside: should reading it fail, what there was is still whole.
        known = {} if changes.anew else self._indexes
        indexes = {number: known[number] if number in known else _new(row) for number, row in rows.items()}
        # Additions first: an item may have come and gone since the last look, or its removal been noted since.
        for added in changes.added:
            _append(indexes, added)
        for removed in changes.removed:
            _remove(indexes, removed)
        self._rows = {row.name: row for row in changes.collections}
        self._indexes, self._position = indexes, changes.position
        for number, index in indexes.items():
            index.configure(rows[number].settings.index)
            if index.wants_upkeep():
                self._upkeep.request(number, index)


def _new(row: CollectionRow) -> CollectionIndex:
    return CollectionIndex(row.settings.bits, row.settings.index)


def _append(indexes: dict[int, CollectionIndex], added: Added) -> None:
    for collection, rows in groupby(sorted(added, key=itemgetter(0)), key=itemgetter(0)):
        if collection in indexes:
            _, sequences, codes = zip(*rows, strict=True)
            packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)
            indexes[collection].append(np.array(sequences, np.int64), packed)


def _remove(indexes: dict[int, CollectionIndex], removed: Removed) -> None:
    for collection, rows in groupby(sorted(removed, key=itemgetter(0)), key=itemgetter(0)):
        if collection in indexes:
            indexes[collection].remove(np.array([sequence for _, sequence in rows], np.int64))
