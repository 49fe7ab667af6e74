"""The follower: brings every collection's index up to what the store holds before it is searched."""

import threading

import numpy as np

from service.index.collection import CollectionIndex, IndexState
from service.index.cores import ONE_CORE, Cores
from service.index.snapshot import Snapshot
from service.index.upkeep import Upkeep
from service.store.errors import UnknownCollectionError
from service.store.reader import Added, Changes, Position, Reader, Removed
from service.store.rows import HIDDEN
from service.store.schema import CollectionRow


class Follower:
    """One per process. Remembers how far it has read, for all collections at once."""

    def __init__(self, reader: Reader, upkeep: Upkeep, cores: Cores = ONE_CORE) -> None:
        self._reader = reader
        self._upkeep = upkeep
        self._cores = cores
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
        """The collection's index with every write in it that was committed, by any process, before this call.

        Raises UnknownCollectionError where it was deleted meanwhile: it is not an empty one.
        """
        with self._lock:
            # With the lock: another thread must not apply one half of a deletion in between.
            return self._known(row).snapshot()

    def state(self, row: CollectionRow) -> IndexState:
        """What is in memory of a collection, up to every write that was committed before this call.

        Raises UnknownCollectionError, as above.
        """
        with self._lock:
            return self._known(row).state()

    def catch_up(self) -> None:
        """Apply what was committed before this call, to all collections."""
        with self._lock:
            self._follow()

    def _known(self, row: CollectionRow) -> CollectionIndex:
        self._follow()
        index = self._indexes.get(row.number)
        if index is None:
            raise UnknownCollectionError(f"expected a collection that is there, {row.name!r} was deleted meanwhile")
        return index

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
        indexes = {number: known[number] if number in known else self._new(row) for number, row in rows.items()}
        # Additions first: an item may have come and gone since the last look, or its removal been noted since.
        for added in changes.added:
            _append(indexes, added)
        for removed in changes.removed:
            _remove(indexes, removed)
        # All of a deletion at once, and last: some may have been added just now.
        for deleted in changes.deleted:
            _remove(indexes, deleted)
        # One that is hidden is kept up as the others are, so that it can take the place of one at once.
        self._rows = {row.name: row for row in changes.collections if row.name != HIDDEN}
        self._indexes, self._position = indexes, changes.position
        for number, index in indexes.items():
            index.configure(rows[number].settings.index)
            if index.wants_upkeep():
                self._upkeep.request(rows[number], index)

    def _new(self, row: CollectionRow) -> CollectionIndex:
        return CollectionIndex(row.settings.bits, row.settings.index, self._cores)


def _append(indexes: dict[int, CollectionIndex], added: Added) -> None:
    for collection in np.unique(added.collections).tolist():
        if collection in indexes:
            rows = np.flatnonzero(added.collections == collection)
            codes = added.codes if len(rows) == len(added.codes) else [added.codes[row] for row in rows.tolist()]
            packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(rows), -1)
            indexes[collection].append(added.sequences[rows], packed)


def _remove(indexes: dict[int, CollectionIndex], removed: Removed) -> None:
    for collection in np.unique(removed.collections).tolist():
        if collection in indexes:
            indexes[collection].remove(removed.sequences[removed.collections == collection])
