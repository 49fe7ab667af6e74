"""Items with all that is kept of them, in the order of their sequence numbers."""

from collections.abc import Callable, Iterator, Sequence
from sqlite3 import Connection
from typing import Any

from service.store.deletions import Sequences, is_hidden
from service.store.lookups import nothing_kept
from service.store.rows import ITEM_COLUMNS, stored_item, verified_document, verified_features
from service.store.schema import CollectionRow, StoredItem

COLUMNS = ITEM_COLUMNS.replace("sequence", "items.sequence").replace("checksum", "items.checksum")
NEWEST = 2**63 - 1
Verified = Callable[[Sequence[Any]], tuple[int, bytes]]


def whole_items(
    connection: Connection, row: CollectionRow, hidden: Sequences, after: int = 0, last: int = NEWEST
) -> Iterator[tuple[int, StoredItem]]:
    """The items of a collection above a sequence number, up to another, each with its own, read as they are asked for.

    `hidden` are the sequence numbers (n,), ascending, of items that are deleted although their rows are there.

    All are verified; raises DamagedStoreError, also where what has to be kept of an item is gone.
    """
    # Executed at once, not at the first `next`, which may come after the transaction.
    # The plus keeps SQLite from walking the collection's ids, and sorting them, instead of the sequence numbers.
    rows = connection.execute(
        f"SELECT {COLUMNS}, features, features.checksum, document, documents.checksum FROM items"  # nosec B608  # constants of ours; values are parameters
        " LEFT JOIN features ON features.sequence = items.sequence"
        " LEFT JOIN documents ON documents.sequence = items.sequence"
        " WHERE items.sequence > ? AND items.sequence <= ? AND +collection = ? ORDER BY items.sequence",
        (after, last, row.number),
    )
    if not len(hidden):
        return (_whole(row, found) for found in rows)
    return (_whole(row, found) for found in rows if not is_hidden(hidden, found[0]))


def _whole(row: CollectionRow, found: Sequence[Any]) -> tuple[int, StoredItem]:
    sequence, _, item = stored_item(found[:6])
    if row.settings.keep_features != "none":
        item = item._replace(features=_kept(item, verified_features, sequence, found[6:8]))
    if row.settings.keep_documents:
        item = item._replace(document=_kept(item, verified_document, sequence, found[8:10]))
    return sequence, item


def _kept(item: StoredItem, verified: Verified, sequence: int, columns: Sequence[Any]) -> bytes:
    if columns[0] is None:
        raise nothing_kept(item.id)
    return verified((sequence, *columns))[1]
