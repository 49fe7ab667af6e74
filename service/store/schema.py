"""The database's tables, the rows that come out of them, and how a connection is opened.

Every upsert gives its item a new, higher sequence number; `removals` notes what was replaced or deleted.
A follower that remembers the last numbers it saw reads only what came since.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from models.errors import HammingwayError

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


class UnknownCollectionError(HammingwayError):
    """A collection that is not there, or no longer."""

    status = 404
    title = "Unknown collection"


class UnusableStoreError(HammingwayError):
    """A database that cannot be opened, or is not one."""

    title = "Unusable store"


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


@dataclass(frozen=True)
class Changes:
    """What came since a follower last looked, all read at one moment.

    `collections`: the numbers of those there are; `added`: (collection, sequence, code) by sequence;
    `removed`: (collection, sequence, number) by number.
    """

    collections: frozenset[int]
    added: list[tuple[int, int, bytes]]
    removed: list[tuple[int, int, int]]


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, made where there is none, for use by any one thread at a time.

    Writes are on disk when they commit. Raises UnusableStoreError where there is something else at that path.
    """
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(SCHEMA)
    except sqlite3.DatabaseError as error:
        raise UnusableStoreError(f"expected {path} to be Hammingway's database or to be made: {error}") from None
    return connection
