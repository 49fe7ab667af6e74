"""A database of an earlier format becomes one of this format where it is opened for writing: all of it, or nothing."""

from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from zlib import crc32

from service.store.checksums import collection_checksum, require
from service.store.errors import DamagedStoreError
from service.store.schema import APPLICATION_ID, TABLES, CollectionSettings, IndexSettings

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
NEW_IN_3 = ("deletions", "deleted_blocks")


def upgrade(connection: Connection, path: Path) -> None:
    """Bring a database of an earlier format to this one, in the caller's transaction; any other is left as it is.

    What changes is read and verified first. Raises DamagedStoreError.
    """
    application, found = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        return
    if found == 1:
        _require_tables(connection, path, {*TABLES, COLLECTIONS_1} - _made_in(NEW_IN_2) - _made_in(NEW_IN_3))
        _to_2(connection)
    if found in (1, 2):
        _require_tables(connection, path, {*TABLES} - _made_in(NEW_IN_3))
        for statement in TABLES:
            if statement in _made_in(NEW_IN_3):
                connection.execute(statement)
        connection.execute("PRAGMA user_version=3")


def _made_in(names: Sequence[str]) -> set[str]:
    return {sql for sql in TABLES if sql.split()[2] in names}


def _require_tables(connection: Connection, path: Path, expected: set[str]) -> None:
    tables = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
    tables = [sql for sql in tables if not sql.startswith("CREATE TABLE sqlite_")]
    if sorted(tables) != sorted(expected):
        raise DamagedStoreError(f"expected {path} with its tables as they were made, found them damaged")


def _to_2(connection: Connection) -> None:
    rows = [_verified(row) for row in connection.execute("SELECT * FROM collections ORDER BY number")]
    counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'collections'").fetchone()
    connection.execute("DROP TABLE collections")
    for statement in TABLES:
        if statement in _made_in(NEW_IN_2):
            connection.execute(statement)
    connection.executemany("INSERT INTO collections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    # The counters go on, as a number is never used again.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'collections'")
    connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES ('collections', ?)", [counted or (0,)])


def _verified(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of format 2, of one of format 1."""
    number, name, bits, hasher, kind, lists, probes, keep_features, checksum = row
    index = f"IndexSettings(kind={kind!r}, lists={lists!r}, probes={probes!r})"
    settings = f"CollectionSettings(bits={bits!r}, hasher={hasher!r}, index={index}, keep_features={keep_features!r})"
    require(crc32(f"{number} {name} {settings}".encode()) == checksum, f"collection {name!r}")
    now = CollectionSettings(bits, hasher, IndexSettings(kind, lists, probes), keep_features)
    return (*row[:-1], int(now.keep_documents), collection_checksum(number, name, now))
