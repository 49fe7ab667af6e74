"""Reads of what is being re-coded, and of jobs, with a connection of their own."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from service.store import jobs, recodings
from service.store.connection import connect, transaction
from service.store.errors import translated
from service.store.jobs import Job
from service.store.schema import CollectionRow, Recoding, StoredItem
from service.store.statements import require_collection
from service.store.whole_items import whole_items


@dataclass(frozen=True)
class Pair:
    """A re-coding with its two collections, all of one moment."""

    recoding: Recoding
    old: CollectionRow
    new: CollectionRow


@dataclass(frozen=True)
class Batch:
    """Items of the old collection, with their sequence numbers; all up to `position` are in it or were before it."""

    items: list[tuple[int, StoredItem]]
    position: int


class RecodingReader:
    """Used by one thread at a time; the database has to be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with translated(path):
            self._connection = connect(path)

    def close(self) -> None:
        """Close the connection, once a read under way is done."""
        with self._lock:
            self._connection.close()

    def version(self) -> int:
        """A number that changes whenever another connection, of any process, commits."""
        with self._reading() as connection:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def pair(self, collection: int) -> Pair | None:
        """The re-coding that a collection, old or new, is part of, or None."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            recoding = recodings.of(connection, collection)
            if recoding is None:
                return None
            return Pair(
                recoding, require_collection(connection, recoding.old), require_collection(connection, recoding.new)
            )

    def batch(self, pair: Pair, most_items: int, most_bytes: int) -> Batch:
        """The next items to be coded anew: about so many bytes of them, one at least unless there are no more."""
        found: list[tuple[int, StoredItem]] = []
        size = 0
        recoding = pair.recoding
        with (
            self._reading() as connection,
            closing(whole_items(connection, pair.old, recoding.position, recoding.last)) as items,
        ):
            for sequence, item in items:
                found.append((sequence, item))
                size += len(item.document or b"") + len(item.features or b"") + len(item.payload or b"")
                if len(found) == most_items or size >= most_bytes:
                    return Batch(found, sequence)
        return Batch(found, recoding.last)

    def jobs(self) -> list[Job]:
        """All jobs that are known of, the newest first."""
        with self._reading() as connection:
            return jobs.every(connection)

    def unfinished(self) -> list[Job]:
        """The jobs that are queued or running, the oldest first."""
        with self._reading() as connection:
            return jobs.unfinished(connection)

    def job(self, number: int) -> Job | None:
        """A job, or None."""
        with self._reading() as connection:
            return jobs.find(connection, number)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, translated(self._path):
            yield self._connection
