"""Writes: each is one transaction, on disk when it returns, undone whole when it fails."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection

import numpy as np

from service.errors import TooManyCollectionsError
from service.store import deletions, jobs, recodings, statements
from service.store.connection import BUSY_TIMEOUT_SECONDS, committed, create, transaction
from service.store.errors import ChangedMeanwhileError, DamagedStoreError, translated
from service.store.mark import Mark
from service.store.place import Place
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.wal import Wal

# Items of the collection that is written with another, by its number.
Together = tuple[int, Sequence[StoredItem]]


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
        self._hidden = deletions.Hidden()
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
        """Delete a collection and all its items; False where it is gone already.

        Many items are removed by a job, after the transaction: others write meanwhile.
        """
        with self.writing() as connection:
            recoding = recodings.of(connection, collection)
            row = statements.find_collection(connection, collection)
            _drop(connection, collection, "" if row is None else row.name)
            if recoding is not None:
                _drop(connection, recoding.other(collection), "" if row is None else row.name)
                recodings.drop(connection, recoding)
                job = jobs.find(connection, recoding.job)
                if job is not None and job.unfinished:
                    jobs.end(connection, job, "cancelled", "the collection was deleted")
            return row is not None

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
            hidden = self.hidden(connection)
            found = {}
            for row in statements.written_together(connection, collection):
                sequences = np.sort(np.array(statements.sequences_of(connection, row.number, listed), np.int64))
                found[row.number] = sequences[~deletions.among(hidden, sequences)]
            delete_found(connection, found, None)
            return len(found[collection])

    def remove_some(self, seconds: float) -> bool:
        """Remove rows of items that are deleted, for about so long; returns whether there may be more."""
        with self.writing() as connection:
            return deletions.remove_some(connection, seconds)

    def require_deletions(self) -> None:
        """Raise DamagedStoreError where a deletion is not as it was written."""
        with self._lock, translated(self._path), transaction(self._connection, "DEFERRED") as connection:
            deletions.require_whole(connection)

    def hidden(self, connection: Connection) -> deletions.Sequences:
        """The items (n,) that are deleted although their rows are there, within a transaction of this writer."""
        return self._hidden.at(connection)

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


def delete_found(
    connection: Connection, found: Mapping[int, deletions.Sequences], blocks: Sequence[deletions.Block] | None
) -> None:
    """Delete items by their sequence numbers (n,), ascending, by collection.

    `blocks` are those of the same items, and maybe of some that are gone, where they were made before.
    """
    if sum(map(len, found.values())) > deletions.FEW:
        deletions.begin(connection, blocks or deletions.blocks_of(found))
        return
    for collection, sequences in found.items():
        if len(sequences):
            statements.remove_rows(connection, sequences.tolist())
            statements.note_removals(connection, collection, sequences.tolist())


def _drop(connection: Connection, collection: int, name: str) -> None:
    """Delete a collection, and its items if they are few; else these are left to a job, and nothing shows them."""
    if statements.has_few(connection, collection, deletions.FEW):
        statements.remove_collection(connection, collection)
        return
    connection.execute("DELETE FROM collections WHERE number = ?", (collection,))
    statements.note_change(connection, collection)
    jobs.insert(connection, jobs.new("discard", name, collection, "items of a collection that was deleted", None))
