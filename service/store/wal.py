"""The size of the write-ahead log (WAL), which SQLite itself does not bound.

After each commit of more than 1,000 pages SQLite copies what it can into the database (a checkpoint). It begins the
WAL anew only at a moment at which all is copied and no read uses the WAL. When reads overlap all the time, as under
load, there is no such moment, and the file grows with each write. So the writer makes one: it stops writes, for a
bounded time, until the reads that use the WAL have ended; new reads begin without it meanwhile.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from time import monotonic

from service.store.tracked_connection import TrackedConnection

LARGE_BYTES = 16 * 2**20
# How long one attempt stops writes at that size, and at most. It grows with the square of the size: reads of a second
# need a longer stop, and writes that are slower let the WAL grow less.
STOP_SECONDS, LONGEST_STOP_SECONDS = 0.05, 1.0
# For so many times as long writes go on after an attempt that failed.
SHARE = 4


class Wal:
    """The WAL of a database that a writer has open. `patience_seconds` is what its connection waits for locks."""

    def __init__(self, connection: TrackedConnection, database: Path, patience_seconds: float) -> None:
        self._connection = connection
        self._file = database.with_name(f"{database.name}-wal")
        self._patience = patience_seconds
        self._not_before = 0.0

    def keep_small(self) -> None:
        """Empty the WAL if it is large; for after a commit. Takes 2 microseconds otherwise, and never fails."""
        try:
            size = self._file.stat().st_size
        except OSError:
            return
        if size <= LARGE_BYTES or monotonic() < self._not_before:
            return
        stop = min(STOP_SECONDS * (size / LARGE_BYTES) ** 2, LONGEST_STOP_SECONDS)
        is_busy = 1
        # A full disk is met again by the next write, which can say so: this one is committed.
        with suppress(sqlite3.Error):
            self._wait(stop)
            try:
                is_busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._wait(self._patience)
        if is_busy:
            self._not_before = monotonic() + SHARE * stop

    def _wait(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}").fetchone()
