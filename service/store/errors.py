"""What can go wrong with the database, and how SQLite's errors become the service's."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import HammingwayError

FEW_FREE_BYTES = 256 * 1024
# What damage can make of an error message, or of a text, is not always UTF-8.
SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
# Those of SQLite's errors that are a mistake of ours, not of the disk.
MISTAKES = (sqlite3.IntegrityError, sqlite3.ProgrammingError)


class UnknownCollectionError(HammingwayError):
    """A collection that is not there, or no longer."""

    status = 404
    title = "Unknown collection"
    where = "collection"


def unknown_collection(name: str) -> UnknownCollectionError:
    """The error for a name that no collection has."""
    return UnknownCollectionError(f"expected the name of a collection that is there, got {name[:80]!r}")


class UnusableStoreError(HammingwayError):
    """A database that cannot be opened, or is not one."""

    title = "Unusable store"


class DamagedStoreError(HammingwayError):
    """Something that is not as it was written: a checksum that does not fit, a row or a commit that is gone."""

    title = "Damaged store"


class StorageFullError(HammingwayError):
    """No room for a write, of which nothing was done."""

    status = 507
    title = "Storage full"


class StorageError(HammingwayError):
    """The operating system failed to read or to write."""

    title = "Storage failure"


class StoreBusyError(HammingwayError):
    """Other processes kept the database locked for too long."""

    status = 503
    title = "Store busy"


class ChangedMeanwhileError(HammingwayError):
    """A collection whose re-coding was started, switched or ended between a look at it and a write to it."""

    status = 503
    title = "Changed meanwhile"


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite says of the database at `path` as the errors above."""
    try:
        yield
    except MISTAKES:
        raise
    except SQLITE_ERRORS as error:
        raise translate(error, path) from error


def translate(error: Exception, path: Path) -> HammingwayError:
    """What SQLite says of the database at `path`, as one of the errors above."""
    # The low byte is the kind of error, the rest says which call it was.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", "")
    told = f"{error} ({name})" if name else str(error)
    if kind == sqlite3.SQLITE_FULL or (kind == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StorageFullError(f"expected room on the disk, found none: nothing of this was done: {told}")
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode" in str(error).lower():
        return DamagedStoreError(f"expected the database as it was written, found it damaged: {told}")
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"expected the database to be free, other processes keep it locked: {told}")
    return StorageError(f"expected the database to be readable and writable, the system failed: {told}")


def _is_full(path: Path) -> bool:
    # Growing the WAL's shared memory on a full disk is told as an I/O error.
    try:
        free = os.statvfs(path.parent)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < FEW_FREE_BYTES
