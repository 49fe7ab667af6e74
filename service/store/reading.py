"""A connection to read by, which whoever reads takes in turns."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

from service.store.connection import FEW_KILOBYTES, connect
from service.store.errors import SQLITE_ERRORS, translate, translated


class Reading:
    """One connection, used by one thread at a time; the database has to be there."""

    def __init__(self, path: Path, cache_kilobytes: int = FEW_KILOBYTES) -> None:
        self._path = path
        self._lock = threading.Lock()
        with translated(path):
            self._connection = connect(path, cache_kilobytes)

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
                version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except SQLITE_ERRORS as error:
                raise translate(error, self._path) from error
        return version

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, translated(self._path):
            yield self._connection
