"""Writes: each is one transaction, on disk when it returns, undone whole when it fails."""

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection

from service.errors import TooManyCollectionsError
from service.filters import Condition
from service.store import jobs, recodings, statements
from service.store.connection import BUSY_TIMEOUT_SECONDS, committed, create, transaction
from service.store.errors import ChangedMeanwhileError, DamagedStoreError, translated
from service.store.filtering import compile_filter
from service.store.mark import Mark
from service.store.place import Place
from service.store.rows import ITEM_COLUMNS, stored_item
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.wal import Wal
from service.untold import untold

BLOCK_ROWS = 8192
# Items of the collection that is written with another, by its number.
Together = tuple[int, Sequence[StoredItem]]
# How many items.
Deleted = Callable[[int], None]


class Writer:
    """Makes the database where there is none; writers take turns, in this process and across processes.

    While a collection is being re-coded, what is written to one half is written to the other in the same transaction.
    """

    def __init__(self, path: Path) -> None:
        """Raises UnusableStoreError, or DamagedStoreError where commits that were acknowledged are gone."""
        self._path = path
        self._lock = threading.Lock()
        self._mark = Mark(path)
        # Read first: what is committed meanwhile, by another process, only adds.
        marked = self._mark.read()
        self._connection = create(path)
        with translated(path):
            found = committed(self._connection)
        self._place = Place(path)
        self._wal = Wal(self._connection, path, BUSY_TIMEOUT_SECONDS)
        if found < marked:
            raise DamagedStoreError(
                f"expected {path} to have committed {marked} rows, found {found}: the end of its WAL is damaged, "
                f"or it was replaced. To go on with what is there, delete {self._mark.path}"
            )

    def close(self) -> None:
        """Close the database, once a write under way is done."""
        with self._lock:
            self._connection.close()
            self._mark.close()

    def require_place(self) -> None:
        """Raise StorageError where the database was deleted, moved or replaced since it was opened."""
        self._place.require_same()

    def create_collection(
        self, name: str, settings: CollectionSettings, most: int | None = None
    ) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken.

        Raises TooManyCollectionsError where there are `most` already.
        """
        with self.writing() as connection:
            if statements.is_there(connection, name):
                return None
            (there,) = connection.execute("SELECT count(*) FROM collections WHERE name IS NOT NULL").fetchone()
            if most is not None and there >= most:
                raise TooManyCollectionsError(f"expected at most {most} collections, got one more")
            return statements.create_collection(connection, name, settings)

    def change_index(self, collection: int, index: IndexSettings) -> None:
        """Let a collection be searched in another way; raises UnknownCollectionError."""
        with self.writing() as connection:
            for row in statements.written_together(connection, collection):
                statements.update_collection(connection, replace(row, settings=replace(row.settings, index=index)))
            statements.note_change(connection, collection)

    def delete_collection(self, collection: int) -> bool:
        """Delete a collection and all its items; False where it is gone already."""
        with self.writing() as connection:
            recoding = recodings.of(connection, collection)
            (there,) = connection.execute("SELECT count(*) FROM collections WHERE number = ?", (collection,)).fetchone()
            statements.remove_collection(connection, collection)
            if recoding is not None:
                statements.remove_collection(connection, recoding.other(collection))
                recodings.drop(connection, recoding)
                job = jobs.find(connection, recoding.job)
                if job is not None and job.unfinished:
                    jobs.end(connection, job, "cancelled", "the collection was deleted")
            return bool(there)

    def upsert(self, collection: int, items: Sequence[StoredItem], also: Together | None = None) -> None:
        """Write all items or none, replacing those whose id is there; raises UnknownCollectionError.

        Each id once. `also` are the same items for the collection that this one is being re-coded into, or from; raises
        ChangedMeanwhileError where that is not the one that is written together with this one now.
        """
        with self.writing() as connection:
            statements.require_collection(connection, collection)
            recoding = recodings.of(connection, collection)
            other = None if recoding is None else recoding.other(collection)
            if other != (None if also is None else also[0]):
                raise ChangedMeanwhileError("expected a re-coding to go on as it was, it began or ended meanwhile")
            statements.upsert(connection, collection, items)
            if also is not None:
                statements.upsert(connection, *also)

    def load_collection(self, name: str, settings: CollectionSettings, items: Iterable[Sequence[StoredItem]]) -> bool:
        """Create a collection with items, all in one transaction; False where the name is taken."""
        with self.writing() as connection:
            if statements.is_there(connection, name):
                return False
            row = statements.create_collection(connection, name, settings)
            for batch in items:
                statements.upsert(connection, row.number, batch)
        return True

    def delete(self, collection: int, ids: Iterable[str]) -> int:
        """Delete items by id; returns how many were there; raises UnknownCollectionError."""
        listed = list(ids)
        with self.writing() as connection:
            rows = statements.written_together(connection, collection)
            first, *_ = [statements.remove(connection, row.number, listed) for row in rows]
            return first

    def delete_matching(self, collection: int, condition: Condition, deleted: Deleted = untold) -> int:
        """Delete the items that a filter lets through, all of one moment; returns how many there were.

        Each is verified before it goes; `deleted` is told how many have gone. Raises UnknownCollectionError.
        """
        with self.writing() as connection:
            rows = statements.written_together(connection, collection)
            first, *_ = [_remove_matching(connection, row.number, condition, deleted) for row in rows]
            return first

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: on disk when the block ends, undone whole where it raises.

        It has to add a row to a table with AUTOINCREMENT, or it is not counted.
        """
        with self._lock, translated(self._path):
            self.require_place()
            with transaction(self._connection) as connection:
                yield connection
                total = committed(connection)
            self._mark.write(total)
            self._wal.keep_small()


def _remove_matching(connection: Connection, collection: int, condition: Condition, deleted: Deleted) -> int:
    expression, parameters = compile_filter(condition)
    # Read to the end first, 8 bytes an item: what is walked must not change under the walk.
    rows = connection.execute(
        f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? AND ({expression})",  # nosec B608  # constants of ours; values are parameters
        (collection, *parameters),
    )
    found = array("q", (sequence for sequence, _, _ in map(stored_item, rows)))
    for start in range(0, len(found), BLOCK_ROWS):
        block = found[start : start + BLOCK_ROWS].tolist()
        statements.remove_rows(connection, block)
        statements.note_removals(connection, collection, block)
        deleted(start + len(block))
    return len(found)
