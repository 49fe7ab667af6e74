"""A connection to read by, which whoever reads takes in turns."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from service.store.connection import FEW_KILOBYTES, connect
from service.store.errors import SQLITE_ERRORS, translate, translated
from service.store.tracked_connection import TrackedConnection


class Reading:
    """One connection, used by one thread at a time; the database has to be there."""

    def __init__(self, path: Path, cache_kilobytes: int = FEW_KILOBYTES) -> None:
        self._path = path
        self._lock = threading.Lock()
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

    @contextmanager
    def _reading(self) -> Iterator[TrackedConnection]:
        """The connection for one read; cursors that the block leaves open are closed when it ends."""
        with self._lock, translated(self._path):
            # For the case that an earlier ROLLBACK failed, as for lack of memory.
            self._connection.roll_back()
            try:
                yield self._connection
            finally:
                self._connection.close_cursors()
