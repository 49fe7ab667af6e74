"""Rows by their sequence numbers, many in one statement."""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

import orjson

from models.errors import InvalidInputError
from service.store.rows import ITEM_COLUMNS, stored_item, verified_document, verified_features
from service.store.schema import StoredItem

BY_SEQUENCE = f"SELECT {ITEM_COLUMNS} FROM json_each(?) CROSS JOIN items ON sequence = value"  # nosec B608  # constants of ours; values are parameters

# Of all payloads that are read at once; and from how many items on that is looked at before, as it takes as long again.
MOST_PAYLOAD_BYTES = 64 * 2**20
MANY_ITEMS = 1000
# Of all documents that are read at once: what is told of them takes as much again.
MOST_DOCUMENT_BYTES = 64 * 2**20


def listed(sequences: Iterable[int]) -> str:
    """Sequence numbers as one parameter, for json_each."""
    return orjson.dumps(list(sequences)).decode()


def item_rows(connection: Connection, sequences: Iterable[int]) -> list[Any]:
    """Rows of items, not verified yet; those that are not there are left out.

    Raises InvalidInputError where they are many, and their payloads too large together.
    """
    numbers = list(sequences)
    given = listed(numbers)
    if len(numbers) > MANY_ITEMS:
        (size,) = connection.execute(
            "SELECT coalesce(sum(length(payload)), 0) FROM json_each(?) CROSS JOIN items ON sequence = value", (given,)
        ).fetchone()
        require_bounded_payloads(size)
    return connection.execute(BY_SEQUENCE, (given,)).fetchall()


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
    """Kept features by their items' sequence numbers, verified; those that are not there are left out."""
    rows = connection.execute(
        "SELECT sequence, features, checksum FROM features WHERE sequence IN (SELECT value FROM json_each(?))",
        (listed(sequences),),
    ).fetchall()
    return dict(map(verified_features, rows))


def documents(connection: Connection, sequences: Iterable[int]) -> dict[int, bytes]:
    """Kept documents by their items' sequence numbers, verified; those that are not there are left out.

    Raises InvalidInputError where they are too large together.
    """
    chosen = "FROM documents WHERE sequence IN (SELECT value FROM json_each(?))"
    numbers = listed(sequences)
    # Their lengths are known without reading them.
    (size,) = connection.execute(f"SELECT coalesce(sum(length(document)), 0) {chosen}", (numbers,)).fetchone()  # nosec B608  # constants of ours; values are parameters
    require_bounded_documents(size)
    rows = connection.execute(f"SELECT sequence, document, checksum {chosen}", (numbers,)).fetchall()  # nosec B608  # constants of ours; values are parameters
    return dict(map(verified_document, rows))


def require_bounded_documents(size: int) -> None:
    """Raise InvalidInputError where the documents of many items are too large to be read, or told, at once."""
    if size > MOST_DOCUMENT_BYTES:
        raise too_large(size)


def too_large(size: object) -> InvalidInputError:
    """The error for documents that are so large together."""
    return InvalidInputError(
        f"expected documents of {MOST_DOCUMENT_BYTES} bytes at most in a reply, got {size}: ask for fewer items", "with"
    )
