"""Reads of the database that are open now in this process.

An open read keeps its snapshot, and SQLite cannot empty the WAL beyond it: a read that stays open lets the WAL grow.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

LONG_SECONDS = 60.0
log = logging.getLogger(__name__)


class OpenRead:
    """One read: its name, when it began (as of `monotonic`), and whether the log has a warning of it."""

    __slots__ = ("name", "since", "warned")

    def __init__(self, name: str) -> None:
        self.name = name
        self.since = monotonic()
        self.warned = False


class OpenReads:
    """One per process; safe to use from many threads."""

    def __init__(self, long_seconds: float = LONG_SECONDS) -> None:
        self._long_seconds = long_seconds
        # Each operation on it is atomic in CPython. A lock would take longer than all else here, at every read.
        self._open: set[OpenRead] = set()

    def begin(self, name: str) -> OpenRead:
        """Count a read as open; `end` has to follow."""
        read = OpenRead(name)
        self._open.add(read)
        return read

    def end(self, read: OpenRead) -> None:
        """Count a read as open no more."""
        self._open.discard(read)

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """Count a read as open as long as the block takes."""
        read = self.begin(name)
        try:
            yield
        finally:
            self.end(read)

    def oldest_seconds(self) -> float:
        """For how long the oldest of them has been open; 0 where there is none."""
        now = monotonic()
        return max((now - read.since for read in self._open.copy()), default=0.0)

    def warn(self) -> None:
        """Log a warning, once, of each read that has been open for long; it goes on."""
        now = monotonic()
        for read in self._open.copy():
            if not read.warned and now - read.since > self._long_seconds:
                read.warned = True
                log.warning(
                    "the read %s has been open for %.0f seconds: the WAL grows with each write until the read ends",
                    read.name,
                    now - read.since,
                )
