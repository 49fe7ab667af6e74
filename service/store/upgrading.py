"""A database of format 1 becomes one of format 2 where it is opened for writing: all of it, or nothing."""

from pathlib import Path
from sqlite3 import Connection
from typing import Any
from zlib import crc32

from service.store.checksums import collection_checksum, require
from service.store.errors import DamagedStoreError
from service.store.schema import APPLICATION_ID, TABLES, CollectionSettings, IndexSettings

FIRST_FORMAT = 1
COLLECTIONS_1 = """CREATE TABLE collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    bits INTEGER NOT NULL,
    hasher TEXT,
    index_kind TEXT NOT NULL,
    lists INTEGER,
    probes INTEGER,
    keep_features TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""
NEW_IN_2 = ("collections", "documents", "recodings", "jobs")


def upgrade(connection: Connection, path: Path) -> None:
    """Bring a database of format 1 to format 2, in the caller's transaction; any other is left as it is.

    What changes is read and verified first. Raises DamagedStoreError.
    """
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if found != [APPLICATION_ID, FIRST_FORMAT]:
        return
    new = [sql for sql in TABLES if sql.split()[2] in NEW_IN_2]
    tables = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
    tables = [sql for sql in tables if not sql.startswith("CREATE TABLE sqlite_")]
    if sorted(tables) != sorted({*TABLES, COLLECTIONS_1} - set(new)):
        raise DamagedStoreError(f"expected {path} with its tables as they were made, found them damaged")
    rows = [_verified(row) for row in connection.execute("SELECT * FROM collections ORDER BY number")]
    counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'collections'").fetchone()
    connection.execute("DROP TABLE collections")
    for statement in new:
        connection.execute(statement)
    connection.executemany("INSERT INTO collections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    # The counters go on, as a number is never used again.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'collections'")
    connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES ('collections', ?)", [counted or (0,)])
    connection.execute("PRAGMA user_version=2")


def _verified(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of format 2, of one of format 1."""
    number, name, bits, hasher, kind, lists, probes, keep_features, checksum = row
    index = f"IndexSettings(kind={kind!r}, lists={lists!r}, probes={probes!r})"
    settings = f"CollectionSettings(bits={bits!r}, hasher={hasher!r}, index={index}, keep_features={keep_features!r})"
    require(crc32(f"{number} {name} {settings}".encode()) == checksum, f"collection {name!r}")
    now = CollectionSettings(bits, hasher, IndexSettings(kind, lists, probes), keep_features)
    return (*row[:-1], int(now.keep_documents), collection_checksum(number, name, now))
