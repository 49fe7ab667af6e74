"""Reads of what is being re-coded, and of jobs, with a connection of their own."""

from dataclasses import dataclass
from sqlite3 import Connection

from service.store import jobs, recodings
from service.store.connection import committed, transaction
from service.store.deletions import Sequences, count_shown
from service.store.jobs import Job
from service.store.reading import Reading
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


@dataclass(frozen=True)
class Missing:
    """How many items the new collection of a re-coding lacks, when so much was `committed` in all."""

    items: int
    committed: int


class RecodingReader(Reading):
    """Reads of re-codings and jobs."""

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
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            hidden = self._hidden.at(connection)
            for sequence, item in whole_items(connection, pair.old, hidden, recoding.position, recoding.last):
                found.append((sequence, item))
                size += len(item.document or b"") + len(item.features or b"") + len(item.payload or b"")
                if len(found) == most_items or size >= most_bytes:
                    return Batch(found, sequence)
        return Batch(found, recoding.last)

    def count(self, collection: int) -> int:
        """How many items a collection has."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return count_shown(connection, collection, self._hidden.at(connection))

    def missing(self, recoding: Recoding) -> Missing:
        """How many items of the old collection the new one lacks now."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            items = missing(connection, recoding, self._hidden.at(connection))
            return Missing(items, committed(connection))

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


def missing(connection: Connection, recoding: Recoding, hidden: Sequences) -> int:
    """How many items of the old collection the new one lacks, as its hasher refused them; counts all items."""
    old, new = (count_shown(connection, each, hidden) for each in (recoding.old, recoding.new))
    return old - new
