"""Reads: collections, items, and what changed since a follower last looked. Readers never wait for a writer."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.filters import Condition
from service.store import lookups
from service.store.connection import transaction
from service.store.errors import DamagedStoreError
from service.store.filtering import compile_filter
from service.store.lookups import listed
from service.store.pages import Asked, Page, read_page
from service.store.reading import Reading
from service.store.rows import (
    COLLECTION_COLUMNS,
    HIDDEN,
    ITEM_COLUMNS,
    collection_row,
    stored_item,
    verify_items,
)
from service.store.schema import CollectionRow, StoredItem

FEW = 4096
# What is made of them should fit into the processor's caches: 8192 took a fifth longer.
BLOCK_ROWS = 1024


class Added(NamedTuple):
    """Items by columns: collections (n,) int64, sequence numbers (n,) int64, ascending, and packed codes."""

    collections: NDArray[np.int64]
    sequences: NDArray[np.int64]
    codes: Sequence[bytes]


class Removed(NamedTuple):
    """Items that are gone: collections (n,) int64, sequence numbers (n,) int64."""

    collections: NDArray[np.int64]
    sequences: NDArray[np.int64]


@dataclass(frozen=True)
class Position:
    """How far a follower has come: the last sequence number and the last removal it applied."""

    sequence: int = 0
    removal: int = 0


@dataclass(frozen=True)
class Changes:
    """What came since a position, all of one moment; the blocks are read as they are asked for, each in order.

    `anew`: too many removals since, or none known at all: `added` is everything there is, and `removed` is empty.
    """

    collections: list[CollectionRow]
    anew: bool
    added: Iterator[Added]
    removed: Iterator[Removed]
    position: Position


class Reader(Reading):
    """Reads of collections and items."""

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections WHERE name = ?", (name,)).fetchone()  # nosec B608  # constants of ours; values are parameters
        return collection_row(row) if row else None

    def collections(self) -> list[CollectionRow]:
        """All collections that have a name, by name."""
        with self._reading() as connection:
            return [row for row in _collections(connection) if row.name != HIDDEN]

    def item(self, collection: int, item_id: str) -> StoredItem | None:
        """The item of that id without its features, or None."""
        with self._reading() as connection:
            found = _item(connection, collection, item_id)
        return found[1] if found else None

    def whole_item(self, row: CollectionRow, item_id: str, with_document: bool = False) -> StoredItem | None:
        """The item of that id with the features kept of it, and its document, all of one moment, or None."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            found = _item(connection, row.number, item_id)
            if found is None:
                return None
            sequence, item = found
            kept = lookups.features(connection, [sequence]) if row.settings.keep_features != "none" else {}
            documents = lookups.documents(connection, [sequence]) if with_document else {}
        return item._replace(features=kept.get(sequence), document=documents.get(sequence))

    def by_sequence(self, sequences: Iterable[int]) -> dict[int, StoredItem]:
        """Items by their sequence numbers; those removed since are left out."""
        with self._reading() as connection:
            rows = lookups.item_rows(connection, sequences)
        return lookups.verified_items(rows)

    def features(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Kept features by their items' sequence numbers, of a collection that keeps them; what is gone is left out."""
        with self._reading() as connection:
            return lookups.features(connection, sequences)

    def documents(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Kept documents by their items' sequence numbers, of a collection that keeps them; those removed are left out.

        Raises InvalidInputError where they are too large together.
        """
        with self._reading() as connection:
            return lookups.documents(connection, sequences)

    def first_by_id(self, collection: int, sequences: Sequence[int], count: int) -> dict[int, StoredItem]:
        """The `count` first, by id (in code point order), of the items with these sequence numbers, by these."""
        with self._reading() as connection:
            if len(sequences) > FEW:
                sequences = _first_of_many(connection, collection, set(sequences), count)
            rows = connection.execute(
                f"SELECT {ITEM_COLUMNS} FROM json_each(?) CROSS JOIN items ON sequence = value"  # nosec B608  # constants of ours; values are parameters
                " ORDER BY items.id LIMIT ?",
                (listed(sequences), count),
            ).fetchall()
        return {sequence: item for sequence, _, item in map(stored_item, rows)}

    def by_id(self, collection: int) -> NDArray[np.int64]:
        """The sequence numbers (n,) of all items of a collection, in the order of their ids (by code point)."""
        with self._reading() as connection:
            rows = connection.execute("SELECT sequence FROM items WHERE collection = ? ORDER BY id", (collection,))
            return np.fromiter((sequence for (sequence,) in rows), np.int64)

    @contextmanager
    def all_by_id(self, collection: int) -> Iterator[Iterator[list[tuple[int, str]]]]:
        """Sequence numbers and ids of a collection, verified, in the order of ids, all of the moment of entry."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            # Executed at once, which is when the moment begins.
            rows = connection.execute(
                f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? ORDER BY items.id",  # nosec B608  # constants of ours; values are parameters
                (collection,),
            )
            yield ([(sequence, item.id) for sequence, _, item in map(stored_item, block)] for block in _blocks(rows))

    def page(self, collection: int, asked: Asked) -> Page:
        """Items in the order of their ids, all of one moment."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return read_page(connection, collection, asked)

    def matching(
        self, collection: int, condition: Condition, after: int, by_ids: bool = False
    ) -> tuple[list[int], int]:
        """Sequence numbers above `after`, ascending, of the items that a filter lets through; and the highest given.

        Both of one moment. Reads what came after, of all collections, or `by_ids` the collection.
        """
        expression, parameters = compile_filter(condition)
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            # Not the highest that is there: an index may still hold the row of a higher one, marked as removed.
            (highest,) = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'items'"
            ).fetchone()
            # The plus keeps SQLite from going by that column: from walking all ids, new or old, or the rows of others.
            which = "+sequence > ? AND collection = ?" if by_ids else "sequence > ? AND +collection = ?"
            rows = connection.execute(
                f"SELECT sequence FROM items WHERE {which} AND ({expression}) ORDER BY sequence",  # nosec B608  # constants of ours; values are parameters
                (after, collection, *parameters),
            )
            return [sequence for (sequence,) in rows], highest

    def lets_through(self, condition: Condition, sequences: Iterable[int]) -> dict[int, bool]:
        """Whether a filter lets items through, by sequence number; items removed since are left out."""
        expression, parameters = compile_filter(condition)
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT sequence, ({expression}) FROM items WHERE sequence IN (SELECT value FROM json_each(?))",  # nosec B608  # constants of ours; values are parameters
                (*parameters, listed(sequences)),
            )
            return {sequence: bool(through) for sequence, through in rows}

    @contextmanager
    def changes(self, since: Position) -> Iterator[Changes]:
        """What came since a position; items are verified as they are read."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            first, last = connection.execute("SELECT min(number), max(number) FROM removals").fetchone()
            anew = since == Position() or (first is not None and first > since.removal + 1)
            after = 0 if anew else since.sequence
            (newest,) = connection.execute("SELECT max(sequence) FROM items").fetchone()
            yield Changes(
                _collections(connection),
                anew,
                _added(connection, after),
                iter(()) if anew else _removed(connection, since.removal),
                Position(max(newest or 0, after), max(last or 0, since.removal)),
            )


def _item(connection: Connection, collection: int, item_id: str) -> tuple[int, StoredItem] | None:
    row = connection.execute(
        f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? AND id = ?",  # nosec B608  # constants of ours; values are parameters
        (collection, item_id),
    ).fetchone()
    if row is None:
        return None
    sequence, _, item = stored_item(row)
    if item.id != item_id:
        raise DamagedStoreError(f"expected item {item_id!r} by its id, found {item.id!r}: the database is damaged")
    return sequence, item


def _first_of_many(connection: Connection, collection: int, wanted: set[int], count: int) -> list[int]:
    # To walk the ids in order until enough are met is quicker than to sort them all.
    found: list[int] = []
    for (sequence,) in connection.execute("SELECT sequence FROM items WHERE collection = ? ORDER BY id", (collection,)):
        if sequence in wanted:
            found.append(sequence)
            if len(found) == count:
                break
    return found


def _collections(connection: Connection) -> list[CollectionRow]:
    return [
        collection_row(row)
        for row in connection.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections ORDER BY name")  # nosec B608  # constants of ours; values are parameters
    ]


def _added(connection: Connection, after: int) -> Iterator[Added]:
    # Executed at once, not at the first `next`, which may come after the transaction.
    rows = connection.execute(f"SELECT {ITEM_COLUMNS} FROM items WHERE sequence > ? ORDER BY sequence", (after,))  # nosec B608  # constants of ours; values are parameters
    return map(_verified_columns, _blocks(rows))


def _verified_columns(block: Any) -> Added:
    columns = list(zip(*block, strict=True))
    verify_items(columns)
    sequences, collections, _, codes, _, _ = columns
    return Added(np.array(collections, np.int64), np.array(sequences, np.int64), codes)


def _removed(connection: Connection, after: int) -> Iterator[Removed]:
    rows = connection.execute("SELECT collection, sequence FROM removals WHERE number > ? ORDER BY number", (after,))
    return (Removed(*np.array(block, np.int64).T) for block in _blocks(rows))


def _blocks(rows: Any) -> Iterator[Any]:
    while block := rows.fetchmany(BLOCK_ROWS):
        yield block
