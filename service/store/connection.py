"""How a connection to the database is opened, and what is checked of it as a whole."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.store.errors import SQLITE_ERRORS, DamagedStoreError, StorageFullError, UnusableStoreError, translate
from service.store.schema import APPLICATION_ID, FORMAT, TABLES
from service.store.tracked_connection import TrackedConnection
from service.store.upgrading import upgrade

BUSY_TIMEOUT_SECONDS = 30.0
BUSY_POLL_SECONDS = 0.005
FEW_KILOBYTES, MANY_KILOBYTES = 256, 4096


def sqlite_version() -> str:
    """Of the library that is used."""
    return sqlite3.sqlite_version


def create(path: Path) -> TrackedConnection:
    """Open the database, made where there is none.

    Raises UnusableStoreError where something else is at that path, StorageFullError where there is no room: a database
    that is there takes some, too, for what lies beside it while it is open.
    """
    try:
        connection = _open(path, "rwc")
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            _keep_wal(connection)
        with transaction(connection):
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                _make_tables(connection)
            upgrade(connection, path)
    except SQLITE_ERRORS as error:
        told = translate(error, path)
        if isinstance(told, StorageFullError):
            raise told from None
        raise UnusableStoreError(f"expected {path} to be Hammingway's database or to be made: {error}") from None
    require_format(connection, path)
    return connection


def connect(path: Path, cache_kilobytes: int = FEW_KILOBYTES) -> TrackedConnection:
    """Open the database, which has to be there, for reading by any one thread at a time.

    What is read once from end to end is not worth a large cache.
    """
    connection = _open(path, "rw")
    connection.execute("PRAGMA query_only=1")
    connection.execute(f"PRAGMA cache_size=-{cache_kilobytes}")
    return connection


def connect_to_copy(path: Path) -> TrackedConnection:
    """Open a database that nobody writes to, also one that lies where nothing can be written.

    That file alone is read: a WAL beside it may be anybody's.
    """
    return _open(path, "ro&immutable=1")


@contextmanager
def transaction(connection: TrackedConnection, kind: str = "IMMEDIATE") -> Iterator[TrackedConnection]:
    """A transaction that holds the write lock from its start; any error, at commit too, undoes all of it.

    `kind` DEFERRED is for reads, all of one moment. Cursors that the block leaves open are closed when it ends.
    """
    # For the case that an earlier ROLLBACK failed, as for lack of memory.
    connection.roll_back()
    try:
        connection.execute(f"BEGIN {kind}")
        yield connection
        connection.close_cursors()
        connection.execute("COMMIT")
    except BaseException:
        connection.roll_back()
        raise


def committed(connection: sqlite3.Connection) -> int:
    """How much was ever committed: every transaction adds to it."""
    (total,) = connection.execute("SELECT coalesce(sum(seq), 0) FROM sqlite_sequence").fetchone()
    return int(total)


def require_format(connection: sqlite3.Connection, path: Path) -> None:
    """Check what no row's checksum covers; raises UnusableStoreError, or DamagedStoreError."""
    try:
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if found == [0, 0] or found[0] != APPLICATION_ID:
            raise UnusableStoreError(
                f"expected {path} to be Hammingway's database of format {FORMAT}, found another one "
                "(one of an earlier version has to be made again: move it away and index the items anew)"
            )
        if found[1] != FORMAT:
            newer = ": it was written by a newer version" if found[1] > FORMAT else ""
            raise UnusableStoreError(f"expected {path} to have format {FORMAT}, found {found[1]}{newer}")
        tables = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
        tables = [sql for sql in tables if not sql.startswith("CREATE TABLE sqlite_")]
        encoding = connection.execute("PRAGMA encoding").fetchone()[0]
    except (*SQLITE_ERRORS, TypeError) as error:
        raise DamagedStoreError(f"expected {path} as it was written, found it damaged: {error}") from None
    # In any order: those of a later format were made later.
    if sorted(tables) != sorted(TABLES) or encoding != "UTF-8":
        raise DamagedStoreError(f"expected {path} with its tables as they were made, found them damaged")


def check(path: Path, open_it: Callable[[Path], TrackedConnection] = connect) -> None:
    """Read every page, and compare the index with the rows; raises DamagedStoreError."""
    try:
        with closing(open_it(path)) as connection:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(3)")]
    except SQLITE_ERRORS as error:
        found = [str(error)]
    if found != ["ok"]:
        raise DamagedStoreError(f"expected the database {path} as it was written, found it damaged: {'; '.join(found)}")


def _open(path: Path, mode: str) -> TrackedConnection:
    # Resolved and quoted, as any character may be in a path.
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=TrackedConnection,
    )
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _keep_wal(connection: sqlite3.Connection) -> None:
    # Others may be making the same database at this moment, and here SQLite does not wait for them.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_POLL_SECONDS)


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")
