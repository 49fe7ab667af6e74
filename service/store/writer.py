"""Writes: each is one transaction, on disk when it returns, undone whole when it fails."""

import json
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

from service.errors import TooManyCollectionsError
from service.filters import Condition
from service.store.checksums import collection_checksum, features_checksum, item_checksums
from service.store.connection import committed, create, transaction
from service.store.errors import DamagedStoreError, UnknownCollectionError, translated
from service.store.filtering import compile_filter
from service.store.mark import Mark
from service.store.rows import COLLECTION_COLUMNS, ITEM_COLUMNS, collection_row, stored_item
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem

# Followers that were not heard of for so many removals read everything anew.
REMOVALS_KEPT = 100_000
BLOCK_ROWS = 8192


class Writer:
    """Makes the database where there is none; writers take turns, in this process and across processes."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableStoreError, or DamagedStoreError where commits that were acknowledged are gone."""
        self._path = path
        self._lock = threading.Lock()
        self._mark = Mark(path)
        # Read first: what is committed meanwhile, by another process, only adds.
        marked = self._mark.read()
        self._connection = create(path)
        with translated(path):
            found = committed(self._connection)
        if found < marked:
            raise DamagedStoreError(
                f"expected {path} to have committed {marked} rows, found {found}: the end of its WAL is damaged, "
                f"or it was replaced. To go on with what is there, delete {self._mark.path}"
            )

    def close(self) -> None:
        """Close the database, once a write under way is done."""
        with self._lock:
            self._connection.close()
            self._mark.close()

    def create_collection(
        self, name: str, settings: CollectionSettings, most: int | None = None
    ) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken.

        Raises TooManyCollectionsError where there are `most` already.
        """
        with self._writing() as connection:
            (there,) = connection.execute("SELECT count(*) FROM collections").fetchone()
            if most is not None and there >= most and not _is_there(connection, name):
                raise TooManyCollectionsError(f"expected at most {most} collections, got one more")
            return _create(connection, name, settings)

    def change_index(self, collection: int, index: IndexSettings) -> None:
        """Let a collection be searched in another way; raises UnknownCollectionError."""
        with self._writing() as connection:
            row = _require(connection, collection)
            settings = CollectionSettings(row.settings.bits, row.settings.hasher, index, row.settings.keep_features)
            connection.execute(
                "UPDATE collections SET index_kind = ?, lists = ?, probes = ?, checksum = ? WHERE number = ?",
                (
                    index.kind,
                    index.lists,
                    index.probes,
                    collection_checksum(collection, row.name, settings),
                    collection,
                ),
            )
            _note_removals(connection, collection, [0])

    def delete_collection(self, collection: int) -> None:
        """Delete a collection and all its items; one that is gone already is passed over."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM features WHERE sequence IN (SELECT sequence FROM items WHERE collection = ?)",
                (collection,),
            )
            connection.execute("DELETE FROM items WHERE collection = ?", (collection,))
            connection.execute("DELETE FROM collections WHERE number = ?", (collection,))
            _note_removals(connection, collection, [0])

    def upsert(self, collection: int, items: Sequence[StoredItem]) -> None:
        """Write all items or none, replacing those whose id is there; raises UnknownCollectionError.

        Each id once.
        """
        with self._writing() as connection:
            _require(connection, collection)
            _upsert(connection, collection, items)

    def load_collection(self, name: str, settings: CollectionSettings, items: Iterable[Sequence[StoredItem]]) -> bool:
        """Create a collection with items, all in one transaction; False where the name is taken."""
        with self._writing() as connection:
            row = _create(connection, name, settings)
            if row is None:
                return False
            for batch in items:
                _upsert(connection, row.number, batch)
        return True

    def delete(self, collection: int, ids: Iterable[str]) -> int:
        """Delete items by id; returns how many were there; raises UnknownCollectionError."""
        with self._writing() as connection:
            _require(connection, collection)
            return _remove(connection, collection, list(ids))

    def delete_matching(self, collection: int, condition: Condition) -> int:
        """Delete the items that a filter lets through, all of one moment; returns how many there were.

        Each is verified before it goes. Raises UnknownCollectionError.
        """
        expression, parameters = compile_filter(condition)
        with self._writing() as connection:
            _require(connection, collection)
            # Read to the end first, 8 bytes an item: what is walked must not change under the walk.
            rows = connection.execute(
                f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? AND ({expression})",  # nosec B608  # constants of ours; values are parameters
                (collection, *parameters),
            )
            found = array("q", (sequence for sequence, _, _ in map(stored_item, rows)))
            for start in range(0, len(found), BLOCK_ROWS):
                _remove_rows(connection, collection, found[start : start + BLOCK_ROWS].tolist())
            return len(found)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, translated(self._path):
            with transaction(self._connection) as connection:
                yield connection
                total = committed(connection)
            self._mark.write(total)


def _create(connection: Connection, name: str, settings: CollectionSettings) -> CollectionRow | None:
    if _is_there(connection, name):
        return None
    number = _last(connection, "collections") + 1
    index = settings.index
    connection.execute(
        "INSERT INTO collections (number, name, bits, hasher, index_kind, lists, probes, keep_features, checksum)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, name, settings.bits, settings.hasher, index.kind, index.lists, index.probes),
            *(settings.keep_features, collection_checksum(number, name, settings)),
        ),
    )
    return CollectionRow(number, name, settings)


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM collections WHERE name = ?", (name,)).fetchone() is not None


def _require(connection: Connection, collection: int) -> CollectionRow:
    # Numbers are never used again: a collection deleted and made anew under its name is another one.
    row = connection.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections WHERE number = ?", (collection,)).fetchone()  # nosec B608  # constants of ours; values are parameters
    if row is None:
        raise UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")
    return collection_row(row)


def _upsert(connection: Connection, collection: int, items: Sequence[StoredItem]) -> None:
    _remove(connection, collection, [item.id for item in items])
    first = _last(connection, "items") + 1
    sequences = range(first, first + len(items))
    collections = [collection] * len(items)
    ids = [item.id for item in items]
    codes = [item.code for item in items]
    payloads = [item.payload for item in items]
    checksums = item_checksums(sequences, collections, [each.encode() for each in ids], codes, payloads)
    connection.executemany(
        "INSERT INTO items (sequence, collection, id, code, payload, checksum) VALUES (?, ?, ?, ?, ?, ?)",
        zip(sequences, collections, ids, codes, payloads, checksums, strict=True),
    )
    features = [
        (sequence, item.features, features_checksum(sequence, item.features))
        for sequence, item in enumerate(items, first)
        if item.features is not None
    ]
    connection.executemany("INSERT INTO features (sequence, features, checksum) VALUES (?, ?, ?)", features)


def _last(connection: Connection, table: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row else 0


def _remove(connection: Connection, collection: int, ids: Sequence[str]) -> int:
    # For SQLite a U+0000 in JSON ends a text: what is before it may be the id of another item. No item has one in its.
    ids = [item_id for item_id in ids if "\0" not in item_id]
    # The whole batch in one statement each: an upsert's ids are mostly new.
    found = [
        sequence
        for (sequence,) in connection.execute(
            "SELECT sequence FROM items WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
            (collection, json.dumps(ids)),
        )
    ]
    if found:
        _remove_rows(connection, collection, found)
    return len(found)


def _remove_rows(connection: Connection, collection: int, sequences: Sequence[int]) -> None:
    listed = (json.dumps(sequences),)
    connection.execute("DELETE FROM items WHERE sequence IN (SELECT value FROM json_each(?))", listed)
    connection.execute("DELETE FROM features WHERE sequence IN (SELECT value FROM json_each(?))", listed)
    _note_removals(connection, collection, sequences)


def _note_removals(connection: Connection, collection: int, sequences: Sequence[int]) -> None:
    connection.executemany(
        "INSERT INTO removals (collection, sequence) VALUES (?, ?)", ((collection, sequence) for sequence in sequences)
    )
    connection.execute("DELETE FROM removals WHERE number <= ?", (_last(connection, "removals") - REMOVALS_KEPT,))
