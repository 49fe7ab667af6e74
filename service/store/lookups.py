"""Rows by their sequence numbers, many in one statement."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from sqlite3 import Connection
from typing import Any

import orjson

from models.errors import InvalidInputError
from service.store.errors import DamagedStoreError
from service.store.rows import ITEM_COLUMNS, stored_item, verified_document, verified_features
from service.store.schema import StoredItem

BY_SEQUENCE = f"SELECT {ITEM_COLUMNS} FROM json_each(?) CROSS JOIN items ON sequence = value"  # nosec B608  # constants of ours; values are parameters

# Of all payloads that are read at once; and from how many items on that is looked at before, as it takes as long again.
MOST_PAYLOAD_BYTES = 64 * 2**20
MANY_ITEMS = 1000
# Of ITEM_COLUMNS.
PAYLOAD_COLUMN = 4
# Of all documents that are read at once: what is told of them takes as much again.
MOST_DOCUMENT_BYTES = 64 * 2**20


def listed(sequences: Iterable[int]) -> str:
    """Sequence numbers as one parameter, for json_each."""
    return orjson.dumps(list(sequences)).decode()


def item_rows(connection: Connection, sequences: Iterable[int]) -> list[Any]:
    """Rows of items, each once, not verified yet; those that are not there are left out.

    Raises InvalidInputError where they are several, and their payloads too large together.
    """
    # The same item may be among the nearest of many queries.
    numbers = list(dict.fromkeys(sequences))
    given = listed(numbers)
    if len(numbers) > MANY_ITEMS:
        (size,) = connection.execute(
            "SELECT coalesce(sum(length(payload)), 0) FROM json_each(?) CROSS JOIN items ON sequence = value", (given,)
        ).fetchone()
        require_bounded_payloads(size)
    rows: list[Any] = []
    size = 0
    with closing(connection.execute(BY_SEQUENCE, (given,))) as cursor:
        for row in cursor:
            size += len(row[PAYLOAD_COLUMN] or b"")
            if rows:
                require_bounded_payloads(size)
            rows.append(row)
    return rows


def require_bounded_payloads(size: int) -> None:
    """Raise InvalidInputError where the payloads of many items are too large to be read, or told, at once."""
    if size > MOST_PAYLOAD_BYTES:
        raise InvalidInputError(
            f"expected items with payloads of {MOST_PAYLOAD_BYTES} bytes at most together, got {size}: ask for fewer",
            "limit",
        )


def verified_items(rows: Iterable[Sequence[Any]]) -> dict[int, StoredItem]:
    """The items of such rows by their sequence numbers; raises DamagedStoreError."""
    return {sequence: item for sequence, _, item in map(stored_item, rows)}


def features(connection: Connection, sequences: Iterable[int]) -> dict[int, bytes]:
    """Features by the sequence numbers of items of which they are kept, verified; items that are gone are left out."""
    numbers = list(sequences)
    rows = connection.execute(
        "SELECT sequence, features, checksum FROM features WHERE sequence IN (SELECT value FROM json_each(?))",
        (listed(numbers),),
    ).fetchall()
    return _whole(connection, dict(map(verified_features, rows)), numbers)


def documents(connection: Connection, sequences: Iterable[int]) -> dict[int, bytes]:
    """Documents by the sequence numbers of items of which they are kept, verified; items that are gone are left out.

    Raises InvalidInputError where they are too large together.
    """
    chosen = "FROM documents WHERE sequence IN (SELECT value FROM json_each(?))"
    numbers = list(sequences)
    given = (listed(numbers),)
    # Their lengths are known without reading them.
    (size,) = connection.execute(f"SELECT coalesce(sum(length(document)), 0) {chosen}", given).fetchone()  # nosec B608  # constants of ours; values are parameters
    require_bounded_documents(size)
    rows = connection.execute(f"SELECT sequence, document, checksum {chosen}", given).fetchall()  # nosec B608  # constants of ours; values are parameters
    return _whole(connection, dict(map(verified_document, rows)), numbers)


def _whole(connection: Connection, kept: dict[int, bytes], sequences: Sequence[int]) -> dict[int, bytes]:
    """What is kept of items; raises DamagedStoreError where one is there, and what is kept of it is not.

    A number that damage turned into another one leaves nothing behind whose checksum could tell.
    """
    missing = [sequence for sequence in sequences if sequence not in kept]
    if missing:
        # Both are deleted together, and no number is given twice: what is gone by now was gone before.
        for (item_id,) in connection.execute(
            "SELECT CAST(items.id AS BLOB) FROM json_each(?) CROSS JOIN items ON sequence = value LIMIT 1",
            (listed(missing),),
        ):
            raise nothing_kept(item_id.decode(errors="replace"))
    return kept


def nothing_kept(item_id: str) -> DamagedStoreError:
    """The error for an item without what its collection keeps of each."""
    return DamagedStoreError(f"expected what is kept of item {item_id!r}, found none: the database is damaged")


def require_bounded_documents(size: int) -> None:
    """Raise InvalidInputError where the documents of many items are too large to be read, or told, at once."""
    if size > MOST_DOCUMENT_BYTES:
        raise too_large(size)


def too_large(size: object) -> InvalidInputError:
    """The error for documents that are so large together."""
    return InvalidInputError(
        f"expected documents of {MOST_DOCUMENT_BYTES} bytes at most in a reply, got {size}: ask for fewer items", "with"
    )
