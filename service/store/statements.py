"""What transactions are made of: the statements that write collections and items."""

import json
from collections.abc import Sequence
from sqlite3 import Connection

from service.store import recodings
from service.store.checksums import collection_checksum, item_checksums, kept_checksum
from service.store.errors import UnknownCollectionError
from service.store.kinds import kept_kind
from service.store.rows import COLLECTION_COLUMNS, collection_row
from service.store.schema import CollectionRow, CollectionSettings, StoredItem, require_storable

# Followers that were not heard of for so many removals read everything anew.
REMOVALS_KEPT = 100_000


def last(connection: Connection, table: str) -> int:
    """The highest number that a table with AUTOINCREMENT ever gave."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row else 0


def is_there(connection: Connection, name: str) -> bool:
    """Whether a collection has this name."""
    return connection.execute("SELECT 1 FROM collections WHERE name = ?", (name,)).fetchone() is not None


def create_collection(connection: Connection, name: str, settings: CollectionSettings) -> CollectionRow:
    """Make a collection, whose name is not taken, or HIDDEN; raises InvalidInputError for settings of wrong types."""
    require_storable(settings)
    number = last(connection, "collections") + 1
    index = settings.index
    connection.execute(
        "INSERT INTO collections (number, name, bits, hasher, index_kind, lists, probes, keep_features, keep_documents,"
        " checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, name or None, settings.bits, settings.hasher, kept_kind(index), index.lists, index.probes),
            *(settings.keep_features, int(settings.keep_documents), collection_checksum(number, name, settings)),
        ),
    )
    # Verified as every reader will verify it, while the transaction can still be undone: one row that does not fit its
    # checksum keeps all collections from being read.
    return require_collection(connection, number)


def update_collection(connection: Connection, row: CollectionRow) -> None:
    """Give a collection another name, or another index; raises InvalidInputError for settings of wrong types."""
    require_storable(row.settings)
    index = row.settings.index
    checksum = collection_checksum(row.number, row.name, row.settings)
    connection.execute(
        "UPDATE collections SET name = ?, index_kind = ?, lists = ?, probes = ?, checksum = ? WHERE number = ?",
        (row.name or None, kept_kind(index), index.lists, index.probes, checksum, row.number),
    )


def require_collection(connection: Connection, collection: int) -> CollectionRow:
    """The collection of that number; raises UnknownCollectionError."""
    row = find_collection(connection, collection)
    if row is None:
        raise UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")
    return row


def find_collection(connection: Connection, collection: int) -> CollectionRow | None:
    """The collection of that number, or None."""
    # Numbers are never used again: a collection deleted and made anew under its name is another one.
    row = connection.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections WHERE number = ?", (collection,)).fetchone()  # nosec B608  # constants of ours; values are parameters
    return None if row is None else collection_row(row)


def written_together(connection: Connection, collection: int) -> list[CollectionRow]:
    """The collection of that number, and the one that is written with it, if any; raises UnknownCollectionError."""
    row = require_collection(connection, collection)
    recoding = recodings.of(connection, collection)
    if recoding is None:
        return [row]
    return [row, require_collection(connection, recoding.other(collection))]


def insert(connection: Connection, collection: int, items: Sequence[StoredItem]) -> None:
    """Write items whose ids are not there."""
    first = last(connection, "items") + 1
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
    _insert_kept(connection, "features", first, [item.features for item in items])
    _insert_kept(connection, "documents", first, [item.document for item in items])


def _insert_kept(connection: Connection, table: str, first: int, kept: Sequence[bytes | None]) -> None:
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?)",  # nosec B608  # constants of ours; values are parameters
        [(row, each, kept_checksum(row, each)) for row, each in enumerate(kept, first) if each is not None],
    )


def upsert(connection: Connection, collection: int, items: Sequence[StoredItem]) -> None:
    """Write items, each id once, in place of those whose ids are there."""
    remove(connection, collection, [item.id for item in items])
    insert(connection, collection, items)


def remove(connection: Connection, collection: int, ids: Sequence[str]) -> None:
    """Remove items by id."""
    found = sequences_of(connection, collection, ids)
    if found:
        remove_rows(connection, found)
        note_removals(connection, collection, found)


def sequences_of(connection: Connection, collection: int, ids: Sequence[str]) -> list[int]:
    """The sequence numbers of items by id, also of those that are hidden."""
    # For SQLite a U+0000 in JSON ends a text: what is before it may be the id of another item. No item has one in its.
    ids = [item_id for item_id in ids if "\0" not in item_id]
    # The whole batch in one statement: an upsert's ids are mostly new.
    return [
        sequence
        for (sequence,) in connection.execute(
            "SELECT sequence FROM items WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
            (collection, json.dumps(ids)),
        )
    ]


def remove_rows(connection: Connection, sequences: Sequence[int]) -> None:
    """Delete the rows of items, with what is kept beside them."""
    listed = (json.dumps(sequences),)
    for table in ("items", "features", "documents"):
        connection.execute(f"DELETE FROM {table} WHERE sequence IN (SELECT value FROM json_each(?))", listed)  # nosec B608  # constants of ours; values are parameters


def has_few(connection: Connection, collection: int, few: int) -> bool:
    """Whether a collection has so many items at most; takes no longer however many it has."""
    more = connection.execute("SELECT 1 FROM items WHERE collection = ? LIMIT 1 OFFSET ?", (collection, few))
    return more.fetchone() is None


def remove_collection(connection: Connection, collection: int) -> None:
    """Delete a collection with all its items."""
    for table in ("features", "documents"):
        connection.execute(
            f"DELETE FROM {table} WHERE sequence IN (SELECT sequence FROM items WHERE collection = ?)",  # nosec B608  # constants of ours; values are parameters
            (collection,),
        )
    connection.execute("DELETE FROM items WHERE collection = ?", (collection,))
    connection.execute("DELETE FROM collections WHERE number = ?", (collection,))
    note_change(connection, collection)


def note_removals(connection: Connection, collection: int, sequences: Sequence[int]) -> None:
    """Tell followers what is gone."""
    connection.executemany(
        "INSERT INTO removals (collection, sequence) VALUES (?, ?)", ((collection, sequence) for sequence in sequences)
    )
    connection.execute("DELETE FROM removals WHERE number <= ?", (last(connection, "removals") - REMOVALS_KEPT,))


def note_change(connection: Connection, collection: int) -> None:
    """Count a transaction that adds no item: see `committed`."""
    note_removals(connection, collection, [0])
