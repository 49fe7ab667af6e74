"""Reads: collections, items, and what changed since a follower last looked. Readers never wait for a writer."""

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection
from time import thread_time
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.store import deletions, lookups, statements
from service.store.connection import transaction
from service.store.errors import DamagedStoreError
from service.store.filtering import Compiled
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
# SQLite's instructions between two looks at the clock: a millisecond, but for long payloads.
LOOK_EACH = 5000
VERIFIED_AT_ONCE = 1000
# What is made of them should fit into the processor's caches: 8192 took a fifth longer.
BLOCK_ROWS = 1024


class Added(NamedTuple):
    """Items by columns: collections (n,) int64, sequence numbers (n,) int64, ascending, and packed codes."""

    collections: NDArray[np.int64]
    sequences: NDArray[np.int64]
    codes: Sequence[bytes]


class Matched(NamedTuple):
    """What a filter lets through: sequence numbers (n,) int64, ascending; `last` is the last that was looked at.

    `is_end`: none was given after it.
    """

    sequences: NDArray[np.int64]
    last: int
    is_end: bool


class Removed(NamedTuple):
    """Items that are gone: collections (n,) int64, sequence numbers (n,) int64."""

    collections: NDArray[np.int64]
    sequences: NDArray[np.int64]


@dataclass(frozen=True)
class Position:
    """How far a follower has come: the last sequence number, the last removal and the last deletion it applied."""

    sequence: int = 0
    removal: int = 0
    deletion: int = 0


@dataclass(frozen=True)
class Changes:
    """What came since a position, all of one moment; the blocks are read as they are asked for, each in order.

    `anew`: too many removals since, or none known at all: `added` is everything there is, and `removed` is empty.
    `deleted` are items that are gone, too, although they may still have rows, and so be among those that were added.
    """

    collections: list[CollectionRow]
    anew: bool
    added: Iterator[Added]
    removed: Iterator[Removed]
    deleted: list[Removed]
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
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            found = _item(connection, collection, item_id, self._hidden.at(connection))
        return found[1] if found else None

    def whole_item(self, row: CollectionRow, item_id: str, with_document: bool = False) -> StoredItem | None:
        """The item of that id with the features kept of it, and its document, all of one moment, or None."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            found = _item(connection, row.number, item_id, self._hidden.at(connection))
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
            hidden = self._hidden.at(connection)
            # Executed at once: it belongs to the moment.
            rows = connection.execute(
                f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? ORDER BY items.id",  # nosec B608  # constants of ours; values are parameters
                (collection,),
            )
            yield (
                [(sequence, item.id) for sequence, _, item in map(stored_item, _shown(block, hidden))]
                for block in _blocks(rows)
            )

    def page(self, collection: int, asked: Asked) -> Page:
        """Items in the order of their ids, all of one moment."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return read_page(connection, collection, asked, self._hidden.at(connection))

    def highest(self) -> int:
        """The highest sequence number that was ever given."""
        with self._reading() as connection:
            return statements.last(connection, "items")

    def together(self, collection: int) -> list[int]:
        """The numbers of a collection and of the one that is written with it, if any; raises UnknownCollectionError."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return [row.number for row in statements.written_together(connection, collection)]

    def gone_since(self, removal: int | None) -> deletions.Gone:
        """What was removed after the removal of that number, or is hidden now."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return deletions.gone_since(connection, removal, self._hidden.at(connection))

    def there(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some sequence numbers (n,), ascending, whose items are there."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            rows = connection.execute(
                "SELECT sequence FROM json_each(?) CROSS JOIN items ON sequence = value", (listed(sequences.tolist()),)
            )
            found = np.fromiter((sequence for (sequence,) in rows), np.int64)
            return found[~deletions.among(self._hidden.at(connection), found)]

    def is_deleting(self) -> bool:
        """Whether rows of deletions are still to be removed."""
        with self._reading() as connection:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM deletions)").fetchone()[0])

    def matching_between(
        self,
        collection: int,
        compiled: Compiled,
        after: int,
        span: int,
        seconds: float | None = None,
        verified: bool = False,
    ) -> Matched | None:
        """The items that a filter lets through, of the `span` sequence numbers that come after `after`.

        None where that takes longer than `seconds`. `verified` raises DamagedStoreError where one of them is damaged.
        """
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            return evaluate(connection, collection, compiled, after, span, seconds, verified)

    def matching_by_id(
        self,
        collection: int,
        compiled: Compiled,
        after: str,
        bounds: tuple[int, int],
        span: int,
        seconds: float | None = None,
        verified: bool = False,
    ) -> tuple[NDArray[np.int64], str | None] | None:
        """The items that a filter lets through, of the `span` whose ids come after `after`; and the last id of these.

        The id is None at the end. `bounds` are a sequence number that all lie above, and the highest one; else as
        `matching_between`.
        """
        expression, parameters = compiled
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            found = _within(
                connection,
                seconds,
                # Evaluated only where the number is one of those that are asked for.
                "SELECT count(*), CAST(max(id) AS BLOB), json_group_array(sequence) FILTER (WHERE CASE"  # nosec B608  # constants of ours; values are parameters
                f" WHEN sequence > ? AND sequence <= ? THEN ({expression}) ELSE 0 END) FROM"
                " (SELECT sequence, id, payload FROM items WHERE collection = ? AND id > ? ORDER BY id LIMIT ?)",
                (*bounds, *parameters, collection, after, span),
            )
            if found is None:
                return None
            count, last_id, listed_sequences = found
            sequences = orjson.loads(listed_sequences)
            if verified:
                _verify(connection, sequences)
            return np.array(sequences, np.int64), last_id.decode() if count == span else None

    def lets_through(
        self, compiled: Compiled, sequences: Iterable[int], seconds: float | None = None
    ) -> dict[int, bool] | None:
        """Whether a filter lets items through, by sequence number; items removed since are left out.

        None where that takes longer than `seconds`.
        """
        expression, parameters = compiled
        with self._reading() as connection:
            found = _within(
                connection,
                seconds,
                f"SELECT json_group_array(sequence), json_group_array(({expression})) FROM items"  # nosec B608  # constants of ours; values are parameters
                " WHERE sequence IN (SELECT value FROM json_each(?))",
                (*parameters, listed(sequences)),
            )
            if found is None:
                return None
            there, through = map(orjson.loads, found)
            return dict(zip(there, map(bool, through), strict=True))

    @contextmanager
    def changes(self, since: Position) -> Iterator[Changes]:
        """What came since a position; items are verified as they are read."""
        with self._reading() as connection, transaction(connection, "DEFERRED"):
            first, last = connection.execute("SELECT min(number), max(number) FROM removals").fetchone()
            anew = since == Position() or (first is not None and first > since.removal + 1)
            after = 0 if anew else since.sequence
            (newest,) = connection.execute("SELECT max(sequence) FROM items").fetchone()
            new = [each for each in deletions.unfinished(connection) if anew or each.number > since.deletion]
            items = deletions.items_of(connection, new)
            yield Changes(
                _collections(connection),
                anew,
                _added(connection, after),
                iter(()) if anew else _removed(connection, since.removal),
                [Removed(np.full(len(each), number, np.int64), each) for number, each in items.items()],
                Position(
                    max(newest or 0, after),
                    max(last or 0, since.removal),
                    max([since.deletion, *(each.number for each in new)]),
                ),
            )


def _shown(rows: list[Any], hidden: NDArray[np.int64]) -> list[Any]:
    """The rows, which begin with a sequence number, but for those that are hidden."""
    if not len(hidden):
        return rows
    gone = deletions.among(hidden, np.array([row[0] for row in rows], np.int64))
    return list(itertools.compress(rows, ~gone))


def _item(
    connection: Connection, collection: int, item_id: str, hidden: NDArray[np.int64]
) -> tuple[int, StoredItem] | None:
    row = connection.execute(
        f"SELECT {ITEM_COLUMNS} FROM items WHERE collection = ? AND id = ?",  # nosec B608  # constants of ours; values are parameters
        (collection, item_id),
    ).fetchone()
    if row is None:
        return None
    sequence, _, item = stored_item(row)
    if item.id != item_id:
        raise DamagedStoreError(f"expected item {item_id!r} by its id, found {item.id!r}: the database is damaged")
    return None if deletions.is_hidden(hidden, sequence) else (sequence, item)


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


def evaluate(
    connection: Connection,
    collection: int,
    compiled: Compiled,
    after: int,
    span: int,
    seconds: float | None,
    verified: bool,
) -> Matched | None:
    """`Reader.matching_between` within a transaction."""
    expression, parameters = compiled
    # Not the highest that is there: an index may still hold the row of a higher one, marked as removed.
    highest = statements.last(connection, "items")
    until = min(after + span, highest)
    # The plus keeps SQLite from going by that column: from walking all ids, or the rows of others.
    found = _within(
        connection,
        seconds,
        "SELECT json_group_array(sequence) FROM items WHERE sequence > ? AND sequence <= ?"  # nosec B608  # constants of ours; values are parameters
        f" AND +collection = ? AND ({expression})",
        (after, until, collection, *parameters),
    )
    if found is None:
        return None
    sequences = orjson.loads(found[0])
    if verified:
        _verify(connection, sequences)
    return Matched(np.sort(np.array(sequences, np.int64)), until, until == highest)


def _within(connection: Connection, seconds: float | None, sql: str, parameters: Sequence[Any]) -> Any:
    """The one row of a statement that reads many, or None where it took longer than `seconds` and was broken off.

    Of processor time: on a busy machine the same statement is not broken off again and again. In SQL, as a row that
    passes to Python takes the interpreter's lock, for which other threads keep it waiting.
    """
    expired = False
    deadline = None if seconds is None else thread_time() + seconds

    def look() -> bool:
        nonlocal expired
        expired = deadline is not None and thread_time() > deadline
        return expired

    if deadline is not None:
        connection.set_progress_handler(look, LOOK_EACH)
    try:
        return connection.execute(sql, parameters).fetchone()
    except sqlite3.OperationalError:
        if not expired:
            raise
        return None
    finally:
        if deadline is not None:
            connection.set_progress_handler(None, 0)


def _verify(connection: Connection, sequences: Sequence[int]) -> None:
    """Raise DamagedStoreError unless the rows of items are as they were written."""
    for start in range(0, len(sequences), VERIFIED_AT_ONCE):
        given = (listed(sequences[start : start + VERIFIED_AT_ONCE]),)
        for row in connection.execute(lookups.BY_SEQUENCE, given):
            stored_item(row)
