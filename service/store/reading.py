"""A connection to read by, which whoever reads takes in turns."""

import sqlite3
import sys
import threading
from functools import partial
from pathlib import Path
from types import TracebackType

from service.store.connection import FEW_KILOBYTES, connect
from service.store.deletions import Hidden
from service.store.errors import MISTAKES, SQLITE_ERRORS, translate, translated
from service.store.open_reads import OpenReads
from service.store.tracked_connection import TrackedConnection


class Reading:
    """One connection, used by one thread at a time; the database has to be there."""

    def __init__(self, path: Path, cache_kilobytes: int = FEW_KILOBYTES, open_reads: OpenReads | None = None) -> None:
        """`open_reads` counts the reads of several connections together."""
        self._path = path
        self._lock = threading.Lock()
        self._open_reads = open_reads or OpenReads()
        # For one thread at a time, as the connection is.
        self._hidden = Hidden()
        with translated(path):
            self._connection = connect(path, cache_kilobytes)
        # Not tracked, which takes as long again: its one row is read to the end at once.
        self._data_version = partial(sqlite3.Connection.execute, self._connection, "PRAGMA data_version")

    def close(self) -> None:
        """Close the connection; a read under way, which may be one of minutes, is broken off."""
        self._connection.interrupt()
        with self._lock:
            self._connection.close()

    def version(self) -> int:
        """A number that changes whenever another connection, of any process, commits; takes about 2 microseconds."""
        # Asked at every search: the context manager of the others would take longer than SQLite.
        with self._lock:
            try:
                version: int = self._data_version().fetchone()[0]
            except SQLITE_ERRORS as error:
                raise translate(error, self._path) from error
        return version

    def _reading(self) -> "_Read":
        """`with` it, the connection for one read, which is named after the method that calls this."""
        return _Read(self._connection, self._lock, self._path, self._open_reads, sys._getframe(1).f_code.co_qualname)


class _Read:
    """One read: the turn on a connection, whose cursors are all closed when the block ends.

    Raises what SQLite says as the errors of `service.store.errors`.
    """

    # A class, as a generator of `contextmanager` takes twice as long.
    __slots__ = ("_connection", "_lock", "_name", "_open_read", "_open_reads", "_path")

    def __init__(
        self, connection: TrackedConnection, lock: threading.Lock, path: Path, open_reads: OpenReads, name: str
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path
        self._open_reads = open_reads
        self._name = name

    def __enter__(self) -> TrackedConnection:
        self._lock.acquire()
        try:
            self._open_read = self._open_reads.begin(self._name)
            # For the case that an earlier ROLLBACK failed, as for lack of memory.
            if self._connection.in_transaction:
                with translated(self._path):
                    self._connection.roll_back()
        except BaseException:
            self._end()
            raise
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if isinstance(error, SQLITE_ERRORS) and not isinstance(error, MISTAKES):
            raise translate(error, self._path) from error

    def _end(self) -> None:
        try:
            self._connection.close_cursors()
            self._open_reads.end(self._open_read)
        finally:
            self._lock.release()
