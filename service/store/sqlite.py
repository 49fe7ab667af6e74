"""Items in one SQLite database: durable when a write returns, followed by sequence number.

Every upsert gives its item a new, higher sequence number; `removals` notes what was replaced or deleted.
A follower that remembers the last numbers it saw reads only what came since.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    bits INTEGER NOT NULL,
    hasher TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS items (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    code BLOB NOT NULL,
    payload BLOB
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS items_by_id ON items (collection, id);
CREATE TABLE IF NOT EXISTS removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;
"""
BUSY_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class StoredItem:
    """An item as kept: `code` is packed, `payload` is JSON text in UTF-8 or None."""

    id: str
    code: bytes
    payload: bytes | None = None


@dataclass(frozen=True)
class CollectionRow:
    """A collection as kept: `hasher` is `name@version`, or None where items bring their own codes."""

    number: int
    name: str
    bits: int
    hasher: str | None


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for use by any one thread at a time; writes are on disk when they commit."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


class Store:
    """One database of collections and items; writers take turns, in this process and across processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = connect(path)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database; the store cannot be used afterwards."""
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

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT number, name, bits, hasher FROM collections WHERE name = ?", (name,)
            ).fetchone()
        return CollectionRow(*row) if row else None

    def upsert(self, collection: int, items: Sequence[StoredItem]) -> None:
        """Write all items or none, replacing those whose id is there; on disk when this returns."""
        with self._lock, _transaction(self._connection) as connection:
            _remove(connection, collection, (item.id for item in items))
            connection.executemany(
                "INSERT INTO items (collection, id, code, payload) VALUES (?, ?, ?, ?)",
                ((collection, item.id, item.code, item.payload) for item in items),
            )

    def delete(self, collection: int, ids: Iterable[str]) -> int:
        """Delete items by id; returns how many were there."""
        with self._lock, _transaction(self._connection) as connection:
            return _remove(connection, collection, ids)

    def item(self, collection: int, item_id: str) -> StoredItem | None:
        """The item of that id, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT id, code, payload FROM items WHERE collection = ? AND id = ?", (collection, item_id)
            ).fetchone()
        return StoredItem(*row) if row else None


class Reader:
    """A follower's own connection: what changed since it last looked, in one consistent view."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def version(self) -> int:
        """A number that changes whenever another connection, of any process, commits; takes about 2 microseconds."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def changes(self, sequence: int, removal: int) -> "Changes":
        """Items above a sequence number and removals above a number, both read at the same moment."""
        self._connection.execute("BEGIN")
        try:
            added = self._connection.execute(
                "SELECT collection, sequence, code FROM items WHERE sequence > ? ORDER BY sequence", (sequence,)
            ).fetchall()
            removed = self._connection.execute(
                "SELECT collection, sequence, number FROM removals WHERE number > ? ORDER BY number", (removal,)
            ).fetchall()
        finally:
            self._connection.execute("COMMIT")
        return Changes(added, removed)


@dataclass(frozen=True)
class Changes:
    """`added`: (collection, sequence, code) by sequence; `removed`: (collection, sequence, number) by number."""

    added: list[tuple[int, int, bytes]]
    removed: list[tuple[int, int, int]]


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
