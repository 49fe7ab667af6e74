"""Writes: each is one transaction, on disk when it returns, undone whole when it fails."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from service.store.schema import CollectionRow, StoredItem, UnknownCollectionError, connect


class Writer:
    """Makes the database where there is none; writers take turns, in this process and across processes."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = connect(path)

    def close(self) -> None:
        """Close the database, once a write under way is done."""
        with self._lock:
            self._connection.close()

    def create_collection(self, name: str, bits: int, hasher: str | None) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken."""
        with self._lock:
            row = self._connection.execute(
                "INSERT INTO collections (name, bits, hasher) VALUES (?, ?, ?)"
                " ON CONFLICT DO NOTHING RETURNING number, name, bits, hasher",
                (name, bits, hasher),
            ).fetchone()
        return CollectionRow(*row) if row else None

    def delete_collection(self, collection: int) -> None:
        """Delete a collection and all its items; one that is gone already is passed over."""
        with self._lock, _transaction(self._connection) as connection:
            connection.execute("DELETE FROM collections WHERE number = ?", (collection,))
            connection.execute("DELETE FROM items WHERE collection = ?", (collection,))
            connection.execute("DELETE FROM removals WHERE collection = ?", (collection,))

    def upsert(self, collection: int, items: Sequence[StoredItem]) -> None:
        """Write all items or none, replacing those whose id is there; raises UnknownCollectionError."""
        with self._lock, _transaction(self._connection) as connection:
            _require(connection, collection)
            _remove(connection, collection, (item.id for item in items))
            connection.executemany(
                "INSERT INTO items (collection, id, code, payload) VALUES (?, ?, ?, ?)",
                ((collection, item.id, item.code, item.payload) for item in items),
            )

    def delete(self, collection: int, ids: Iterable[str]) -> int:
        """Delete items by id; returns how many were there; raises UnknownCollectionError."""
        with self._lock, _transaction(self._connection) as connection:
            _require(connection, collection)
            return _remove(connection, collection, ids)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that holds the write lock from its start; any error, at commit too, undoes all of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _require(connection: sqlite3.Connection, collection: int) -> None:
    # Numbers are never used again: a collection deleted and made anew under its name is another one.
    if not connection.execute("SELECT 1 FROM collections WHERE number = ?", (collection,)).fetchone():
        raise UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")


def _remove(connection: sqlite3.Connection, collection: int, ids: Iterable[str]) -> int:
    removed = 0
    for item_id in ids:
        with closing(
            connection.execute(
                "DELETE FROM items WHERE collection = ? AND id = ? RETURNING sequence", (collection, item_id)
            )
        ) as cursor:
            row = cursor.fetchone()
        if row:
            connection.execute("INSERT INTO removals (collection, sequence) VALUES (?, ?)", (collection, row[0]))
            removed += 1
    return removed
