"""Reads: collections, items, and what changed since a follower last looked. Readers never wait for a writer."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.store.schema import Changes, CollectionRow, StoredItem, connect

FEW = 4096


class Reader:
    """One connection, used by one thread at a time; the database has to be there."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = connect(path)

    def close(self) -> None:
        """Close the connection, once a read under way is done."""
        with self._lock:
            self._connection.close()

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT number, name, bits, hasher FROM collections WHERE name = ?", (name,)
            ).fetchone()
        return CollectionRow(*row) if row else None

    def collections(self) -> list[CollectionRow]:
        """All collections, by name."""
        with self._reading() as connection:
            rows = connection.execute("SELECT number, name, bits, hasher FROM collections ORDER BY name").fetchall()
        return [CollectionRow(*row) for row in rows]

    def item(self, collection: int, item_id: str) -> StoredItem | None:
        """The item of that id, or None."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT id, code, payload FROM items WHERE collection = ? AND id = ?", (collection, item_id)
            ).fetchone()
        return StoredItem(*row) if row else None

    def by_sequence(self, sequences: Iterable[int]) -> dict[int, StoredItem]:
        """Items by their sequence numbers; those removed since are left out."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT sequence, id, code, payload FROM items WHERE sequence IN (SELECT value FROM json_each(?))",
                (json.dumps(list(sequences)),),
            ).fetchall()
        return {sequence: StoredItem(*row) for sequence, *row in rows}

    def first_by_id(self, collection: int, sequences: Iterable[int], count: int) -> list[int]:
        """The `count` first, by id (in code point order), of the items with these sequence numbers."""
        wanted = set(sequences)
        found: list[int] = []
        with self._reading() as connection:
            if len(wanted) <= FEW:
                rows = connection.execute(
                    "SELECT sequence FROM items WHERE sequence IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?",
                    (json.dumps(list(wanted)), count),
                )
                return [sequence for (sequence,) in rows]
            # Many: to walk the ids in order until enough are met is quicker than to sort them all.
            for (sequence,) in connection.execute(
                "SELECT sequence FROM items WHERE collection = ? ORDER BY id", (collection,)
            ):
                if sequence in wanted:
                    found.append(sequence)
                    if len(found) == count:
                        break
        return found

    def version(self) -> int:
        """A number that changes whenever another connection, of any process, commits; takes about 2 microseconds."""
        with self._reading() as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def changes(self, sequence: int, removal: int) -> Changes:
        """Items above a sequence number and removals above a number, both read at the same moment."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                collections = connection.execute("SELECT number FROM collections").fetchall()
                added = connection.execute(
                    "SELECT collection, sequence, code FROM items WHERE sequence > ? ORDER BY sequence", (sequence,)
                ).fetchall()
                removed = connection.execute(
                    "SELECT collection, sequence, number FROM removals WHERE number > ? ORDER BY number", (removal,)
                ).fetchall()
            finally:
                connection.execute("COMMIT")
        return Changes(frozenset(number for (number,) in collections), added, removed)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._connection
